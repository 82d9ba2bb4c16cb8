"""Policies in a mesh: what they refuse, what they warn of, and what happens while nobody can ask them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.api import created, finished, job, triggered
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh, eventually, running_mesh
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh
Json = dict[str, Any]
GOOD_TAGS = {"team": "billing", "environment": "production", "owner": "ann@example.com"}


@pytest.fixture(scope="module")
def governed_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMesh]:
    """A mesh of its own: policies hold for everybody in it."""
    with running_mesh(tmp_path_factory.mktemp("governed") / "data", "--replicas", "scheduler=2") as running:
        yield running


@pytest.fixture
def governed(governed_mesh: RunningMesh) -> Iterator[httpx.Client]:
    with governed_mesh.http() as client:
        yield client


@contextmanager
def judging(api: httpx.Client, policy: str | Json) -> Iterator[str]:
    """A built-in that is enabled, or a policy that is there, for a while; every scheduler has heard of it."""
    identity = policy if isinstance(policy, str) else policy["id"]
    if isinstance(policy, str):
        assert api.post(f"/api/v1/policies/{policy}/enable", json={}).status_code == 200
    else:
        answer = api.post("/api/v1/policies", json=policy)
        assert answer.status_code == 200, answer.text
    try:
        yield identity
    finally:
        if isinstance(policy, str):
            api.post(f"/api/v1/policies/{policy}/disable", json={})
        else:
            api.delete(f"/api/v1/policies/{identity}")


def refused(api: httpx.Client, document: Json) -> httpx.Response:
    """The refusal of a job, which comes a moment after the policy."""

    def look() -> httpx.Response | None:
        answer = checked(api, document)
        return answer if answer.status_code == 403 else None

    return eventually(look)


def checked(api: httpx.Client, document: Json) -> httpx.Response:
    return api.post("/api/v1/jobs", json=document, params={"validate_only": "true"})


def decision(answer: httpx.Response) -> Json:
    """The Decision in the details of a refusal."""
    details: list[Json] = answer.json()["details"]
    return next(detail for detail in details if detail["@type"].endswith("chronos.policy.v1.Decision"))


def https_job(name: str, **fields: Any) -> Json:
    """A job that no built-in has anything against."""
    url = "https://api.example.com/run"
    return job(name, tags=GOOD_TAGS, timeout="30s") | {"name": name, "webhook": {"url": url}} | fields


DENYING: dict[str, Json] = {
    "builtin-https-only": {"webhook": {"url": "http://api.example.com/run"}},
    "builtin-timeout-limits": {"timeout": "3600s"},
    "builtin-tag-requirements": {"tags": {"team": "billing"}},
    "builtin-owner-required": {"tags": {}},
    "builtin-webhook-allowlist": {"webhook": {"url": "https://api.example.com.evil.test/api.example.com"}},
    "builtin-private-targets": {"webhook": {"url": "https://127.0.0.1/run"}},
}
WARNING: dict[str, Json] = {
    "builtin-naming-convention": {"name": "Not like the others"},
    "builtin-retry-limits": {"retry_policy": {"max_attempts": 11}},
    "builtin-schedule-frequency": {"schedule": "*/5 * * * * *"},
}


@pytest.mark.parametrize("policy", DENYING)
def test_a_built_in_that_is_enabled_refuses_one_job_and_lets_another_be(
    governed: httpx.Client, fresh: Fresh, policy: str
) -> None:
    name = fresh("built-in")
    assert checked(governed, https_job(name, **DENYING[policy])).status_code == 200
    with judging(governed, policy):
        (violation, *_) = decision(refused(governed, https_job(name, **DENYING[policy])))["violations"]
        assert (violation["policy_id"], violation["action"]) == (policy, "DENY")
        assert governed.post("/api/v1/jobs", json=https_job(name, **DENYING[policy])).status_code == 403
        created(governed, https_job(name))
        changed = governed.put(f"/api/v1/jobs/{name}", json=https_job(name, **DENYING[policy]))
        assert changed.status_code == 403
    governed.delete(f"/api/v1/jobs/{name}")


@pytest.mark.parametrize("policy", WARNING)
def test_a_built_in_that_is_enabled_at_first_warns_and_refuses_nothing(
    governed: httpx.Client, fresh: Fresh, policy: str
) -> None:
    clean = checked(governed, https_job(fresh("clean")))
    assert "chronos-policy-warnings" not in clean.headers
    name = fresh("warned")
    answer = governed.post("/api/v1/jobs", json=https_job(name, enabled=False) | WARNING[policy])
    assert answer.status_code == 200, answer.text
    assert policy in answer.headers["chronos-policy-warnings"]
    accounts = eventually(lambda: governed.get("/api/v1/policy-decisions", params={"job_id": name}).json()["decisions"])
    assert (accounts[0]["outcome"], accounts[0]["operation"]) == ("WARNED", "CREATE")
    assert accounts[0]["decision"]["warnings"][0]["policy_id"] == policy


@pytest.mark.parametrize("policy", WARNING)
def test_a_built_in_that_warns_refuses_once_it_is_told_to(governed: httpx.Client, fresh: Fresh, policy: str) -> None:
    path = f"/api/v1/policies/{policy}"
    shipped = governed.get(path).json()
    assert governed.put(path, json=shipped | {"action": "DENY"}).status_code == 200
    document = https_job(fresh("strict")) | WARNING[policy]
    (violation, *_) = decision(refused(governed, document))["violations"]
    assert (violation["policy_id"], violation["action"]) == (policy, "DENY")
    assert checked(governed, https_job(fresh("kept"))).status_code == 200
    assert governed.post(f"{path}/rollback/{shipped['version']}", json={}).json()["action"] == "WARN"
    eventually(lambda: checked(governed, document).status_code == 200)


def test_a_freeze_window_stops_runs_and_releases_them_on_time(
    governed: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name, exempt = fresh("frozen"), fresh("exempt")
    every_second: Json = {"schedule": "* * * * * *", "concurrency": "ALLOW"}
    created(governed, job(name, receiver.url("/ok"), **every_second))
    created(governed, job(exempt, receiver.url("/ok"), tags={"freeze": "exempt"}, **every_second))
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    end = begin + timedelta(seconds=5)
    freeze = governed.get("/api/v1/policies/builtin-freeze-window").json()
    copy = {key: freeze[key] for key in ("type", "action", "rules")} | {
        "id": fresh("freeze"),
        "name": fresh("Freeze"),
        "namespaces": ["default"],
        "parameters": {"from": begin.isoformat(), "until": end.isoformat()},
    }
    with judging(governed, copy):
        eventually(lambda: any(one.scheduled_time > end for one in receiver.of_job(name)), within=30)
        assert governed.post(f"/api/v1/jobs/{name}/trigger", json={}).status_code == 200, "the freeze is over"
    for each in (name, exempt):
        governed.post(f"/api/v1/jobs/{each}/disable", json={})
    inside = [begin + timedelta(seconds=second) for second in range(5)]
    ran = {one.scheduled_time for one in receiver.of_job(name)}
    assert not ran & set(inside)
    assert end in ran
    assert set(inside) <= {one.scheduled_time for one in receiver.of_job(exempt)}
    recorded = governed.get(f"/api/v1/jobs/{name}/executions", params={"status": "SKIPPED", "page_size": 100}).json()
    skipped = {datetime.fromisoformat(run["scheduled_time"]): run for run in recorded["executions"]}
    assert set(inside) <= set(skipped)
    assert {skipped[moment]["reason_code"] for moment in inside} == {"POLICY"}
    explained = governed.get(f"/api/v1/jobs/{name}/explain", params={"at": inside[0].isoformat()}).json()
    assert explained["verdict"] == "SKIPPED"
    assert "freeze" in explained["summary"]


def test_what_asks_for_a_run_is_refused_too(governed: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("asked")
    created(governed, job(name, receiver.url("/ok")))
    done = finished(governed, triggered(governed, name)["id"])
    closed: Json = {
        "id": fresh("closed"),
        "name": fresh("Closed"),
        "type": "EXECUTION",
        "rules": [{"id": "no", "name": "No", "condition": {"field": "job.id", "operator": "ne", "value": name}}],
    }
    with judging(governed, closed):
        trigger = f"/api/v1/jobs/{name}/trigger"
        eventually(lambda: governed.post(trigger, json={}).status_code == 403)
        assert governed.post(f"/api/v1/executions/{done['id']}/replay", json={}).status_code == 403
        past = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
        assert governed.post(f"/api/v1/jobs/{name}/backfill", json=past).status_code == 403


@contextmanager
def silent(mesh: RunningMesh, replica: str) -> Iterator[None]:
    """A process that does not answer: it is stopped, so nobody starts it again."""
    pid = int(mesh.processes()[replica]["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_while_policy_is_away_what_was_decided_holds_and_nothing_else_goes_on(
    governed_mesh: RunningMesh, governed: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    known, other, space = fresh("known"), fresh("other"), fresh("open")
    created(governed, job(known, receiver.url("/ok"), tags={"team": "a"}, schedule="* * * * * *", concurrency="ALLOW"))
    governed.post("/api/v1/namespaces", json={"id": space, "policy_failure": "ALLOW"})
    rule = {"id": "team", "name": "Team", "condition": {"field": "tags.team", "operator": "exists"}}
    both: list[Json] = [
        {"id": fresh("teams"), "name": fresh("Teams"), "type": kind, "rules": [rule]} for kind in ("JOB", "EXECUTION")
    ]
    with judging(governed, both[0]), judging(governed, both[1]):
        eventually(lambda: checked(governed, job(other)).status_code == 403)
        before = len(receiver.of_job(known))
        eventually(lambda: len(receiver.of_job(known)) >= before + 3)
        with silent(governed_mesh, "policy-0"):
            since = max(one.scheduled_time for one in receiver.of_job(known))
            unjudged = checked(governed, job(other, tags={"team": "a"}))
            assert (unjudged.status_code, "policies could not be asked" in unjudged.text) == (503, True), unjudged.text
            answer = governed.post(f"/api/v1/namespaces/{space}/jobs", json=job(other))
            assert answer.status_code == 200, answer.text
            last = since + timedelta(seconds=6)
            eventually(lambda: any(one.scheduled_time >= last for one in receiver.of_job(known)))
            wanted = {since + timedelta(seconds=second) for second in range(7)}
            assert wanted <= {one.scheduled_time for one in receiver.of_job(known)}
        eventually(lambda: checked(governed, job(other, tags={"team": "a"})).status_code == 200, within=30)
        governed_mesh.kill("policy-0")
        last += timedelta(seconds=6)
        eventually(lambda: any(one.scheduled_time >= last for one in receiver.of_job(known)))
        wanted = {since + timedelta(seconds=second) for second in range(13)}
        assert wanted <= {one.scheduled_time for one in receiver.of_job(known)}
        eventually(lambda: checked(governed, job(other)).status_code == 403, within=30)
        path = f"/api/v1/namespaces/{space}/policy-decisions"
        accounts = eventually(lambda: governed.get(path).json()["decisions"])
        assert [account["outcome"] for account in accounts] == ["UNREACHABLE_ALLOWED"]
    governed.post(f"/api/v1/jobs/{known}/disable", json={})


def test_a_policy_is_tried_rolled_out_and_rolled_back(
    governed_mesh: RunningMesh, governed: httpx.Client, fresh: Fresh
) -> None:
    space, identity = fresh("trial"), fresh("labels")
    for name, tags in (("good", {"team": "a"}), ("bad", {})):
        answer = governed.post(f"/api/v1/namespaces/{space}/jobs", json=job(name, tags=tags))
        assert answer.status_code == 200, answer.text
    rule = {"id": "team", "name": "Team", "condition": {"field": "tags.team", "operator": "exists"}}
    policy: Json = {"id": identity, "name": identity, "action": "WARN", "namespaces": [space], "rules": [rule]}
    draft = governed.post(f"/api/v1/namespaces/{space}/policies/dry-run", json={"policy": policy | {"action": "DENY"}})
    assert draft.status_code == 200, draft.text
    assert [hit["job_id"] for hit in draft.json()["denied"]] == ["bad"]
    assert (draft.json()["jobs"], draft.json()["unaffected_count"]) == (2, 1)
    stored = governed.post("/api/v1/policies", json=policy).json()
    assert (stored["version"], stored["enabled"]) == (1, True)
    trial = governed.post(f"/api/v1/policies/{identity}/dry-run", json={"namespace": space}).json()
    assert [hit["job_id"] for hit in trial["warned"]] == ["bad"]
    body = {"job": job("bad", namespace=space)}
    said = eventually(lambda: governed.post("/api/v1/policies/evaluate", json=body).json().get("warnings"))
    assert identity in [warning["policy_id"] for warning in said]
    governed.put(f"/api/v1/policies/{identity}", json=policy | {"action": "DENY"})
    path = f"/api/v1/namespaces/{space}/jobs/bad"
    eventually(lambda: governed.put(path, json=job("bad")).status_code == 403)
    assert governed.post(f"/api/v1/policies/{identity}/rollback/1", json={}).json()["action"] == "WARN"
    eventually(lambda: governed.put(path, json=job("bad")).status_code == 200)
    listed = governed_mesh.ctl("policy", "versions", identity).stdout
    assert "3" in listed
    assert governed.delete(f"/api/v1/policies/{identity}").status_code == 200


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({"field": "name", "operator": "resembles", "value": "a"}, "rules[0].condition.operator"),
        ({"field": "name", "operator": "matches", "value": "(?=a)"}, "rules[0].condition.value"),
        ({"expression": "job.name =="}, "rules[0].condition.expression"),
        ({"and": [{"field": "name", "operator": "exists"}], "field": "name"}, "rules[0].condition"),
    ],
)
def test_a_policy_that_means_nothing_is_refused_with_the_path_of_the_fault(
    governed: httpx.Client, fresh: Fresh, condition: Json, path: str
) -> None:
    rule = {"id": "r", "name": "R", "condition": condition}
    answer = governed.post("/api/v1/policies", json={"name": fresh("bad"), "rules": [rule]})
    assert answer.status_code == 400, answer.text
    fields = [
        violation["field"] for detail in answer.json()["details"] for violation in detail.get("field_violations", [])
    ]
    assert any(path in field for field in fields), answer.text
