"""The life of a run over REST: overlap, cancel, backfill, replay, explanation, dependencies, versions, namespaces."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest

from tests.e2e.api import created, finished, job, triggered
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import eventually
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh


def executions(api: httpx.Client, name: str, **query: str) -> list[dict[str, object]]:
    answer = api.get(f"/api/v1/jobs/{name}/executions", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["executions"])


def test_a_run_that_would_overlap_is_skipped_with_a_record(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("slow")
    created(api, job(name, receiver.url("/slow/2.5"), schedule="* * * * * *"))
    skipped = eventually(lambda: executions(api, name, status="SKIPPED"))
    api.post(f"/api/v1/jobs/{name}/disable", json={})
    assert skipped[-1]["reason_code"] == "OVERLAP"
    at = str(skipped[-1]["scheduled_time"])
    answer = api.get(f"/api/v1/jobs/{name}/explain", params={"at": at}).json()
    assert answer["verdict"] == "SKIPPED"
    assert answer["execution"]["id"] == skipped[-1]["id"]
    assert "under way" in answer["summary"]


def test_queued_runs_follow_one_another(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("queue")
    created(api, job(name, receiver.url("/slow/0.5"), schedule="@manual", concurrency="QUEUE"))
    ids = [triggered(api, name)["id"] for _ in range(3)]
    runs = [finished(api, identity) for identity in ids]
    assert [run["status"] for run in runs] == ["SUCCESS"] * 3
    for earlier, later in pairwise(runs):
        assert later["started_at"] >= earlier["completed_at"]


def test_a_newer_run_replaces_the_older_one(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("replace")
    created(api, job(name, receiver.url("/slow/8"), schedule="@manual", concurrency="REPLACE", timeout="20s"))
    first = triggered(api, name)["id"]
    eventually(lambda: receiver.of_execution(first))
    second = triggered(api, name)["id"]
    assert finished(api, first)["status"] == "CANCELLED"
    eventually(lambda: receiver.of_execution(second))
    api.post(f"/api/v1/executions/{second}/cancel", json={"reason": "test"})
    assert finished(api, second)["reason_code"] == "CANCELLED_BY_USER"


def test_a_run_is_cancelled_once_and_never_after_its_end(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("cancel")
    created(api, job(name, receiver.url("/slow/8"), schedule="@manual", timeout="20s"))
    identity = triggered(api, name)["id"]
    eventually(lambda: receiver.of_execution(identity))
    answer = api.post(f"/api/v1/jobs/{name}/executions/{identity}/cancel", json={"reason": "wrong customer"})
    assert answer.status_code == 200, answer.text
    ended = finished(api, identity)
    assert (ended["status"], ended["reason_code"]) == ("CANCELLED", "CANCELLED_BY_USER")
    assert "wrong customer" in ended["reason"]
    again = api.post(f"/api/v1/executions/{identity}/cancel", json={})
    assert again.status_code == 400
    assert "has ended as CANCELLED" in again.json()["message"]


def test_a_past_range_is_made_up_for_once(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("backfill")
    created(api, job(name, receiver.url("/ok"), schedule="0 0 * * *"))
    # Not so far back that history's retention takes the runs away.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [f"{today - timedelta(days=back):%Y-%m-%dT%H:%M:%SZ}" for back in (3, 2, 1, 0)]
    wish = {"from": days[0], "to": days[3]}
    planned = api.post(f"/api/v1/jobs/{name}/backfill", json={**wish, "validate_only": True}).json()
    assert len(planned["executions"]) == 3
    assert receiver.of_job(name) == []
    answer = api.post(f"/api/v1/jobs/{name}/backfill", json=wish).json()
    runs = [finished(api, execution["id"]) for execution in answer["executions"]]
    assert [run["scheduled_time"] for run in runs] == days[:3]
    assert {run["cause"] for run in runs} == {"BACKFILL"}
    assert {run["status"] for run in runs} == {"SUCCESS"}, runs
    repeated = api.post(f"/api/v1/jobs/{name}/backfill", json=wish).json()
    assert repeated["already_succeeded"] == 3, repeated
    assert repeated["executions"] == []
    assert len(receiver.of_job(name)) == 3


def test_a_replay_repeats_the_recorded_request_and_not_today_s(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("replay")
    webhook = {"url": receiver.url("/ok"), "body": "run {{.ExecutionID}}", "headers": {"X-Team": "blue"}}
    created(api, {**job(name), "webhook": webhook})
    first = finished(api, triggered(api, name)["id"])
    assert first["request"]["body"] == f"run {first['id']}"
    changed = api.patch(f"/api/v1/jobs/{name}", json={"webhook": {**webhook, "url": receiver.url("/status/500")}})
    assert changed.status_code == 200, changed.text
    answer = api.post(f"/api/v1/jobs/{name}/executions/{first['id']}/replay", json={})
    assert answer.status_code == 200, answer.text
    replay = finished(api, answer.json()["id"])
    assert (replay["status"], replay["replay_of"], replay["cause"]) == ("SUCCESS", first["id"], "REPLAY")
    (again,) = receiver.of_execution(replay["id"])
    assert (again.path, again.body, again.headers["x-team"]) == ("/ok", f"run {first['id']}", "blue")
    changes = {"body": "other", "headers": {"X-Team": "red"}}
    answer = api.post(f"/api/v1/executions/{first['id']}/replay", json={"changes": changes}).json()
    other = finished(api, answer["id"])
    (sent,) = receiver.of_execution(other["id"])
    assert (sent.body, sent.headers["x-team"]) == ("other", "red")


def test_dependants_run_after_their_parents_and_hear_of_failures(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    extract, load, report = fresh("extract"), fresh("load"), fresh("report")
    created(api, job(extract, receiver.url("/ok"), schedule="@manual"))
    after = {"id": load, "name": load, "webhook": {"url": receiver.url("/status/404")}}
    created(api, {**after, "dependencies": {"depends_on": [extract]}})
    last = {"id": report, "name": report, "webhook": {"url": receiver.url("/ok")}}
    created(api, {**last, "dependencies": {"depends_on": [load], "condition": "all_success"}})
    parent = finished(api, triggered(api, extract)["id"])
    (loaded,) = eventually(lambda: executions(api, load, status="FAILED"))
    assert loaded["cause"] == "DEPENDENCY"
    assert loaded["parent_execution_ids"] == [parent["id"]]
    (skipped,) = eventually(lambda: executions(api, report, status="SKIPPED"))
    assert skipped["reason_code"] == "DEPENDENCY_FAILED"
    assert receiver.of_job(report) == []
    circle = api.patch(f"/api/v1/jobs/{extract}", json={"schedule": "", "dependencies": {"depends_on": [report]}})
    assert circle.status_code == 400
    assert "dependencies.depends_on" in circle.text
    assert api.delete(f"/api/v1/jobs/{extract}").status_code == 400


def test_versions_tell_what_changed_and_lead_back(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("versions")
    created(api, job(name, tags={"team": "a"}))
    api.patch(f"/api/v1/jobs/{name}", json={"tags": {"team": "b"}}, params={"comment": "handed over"})
    versions = api.get(f"/api/v1/jobs/{name}/versions").json()["versions"]
    assert [(v["version"], v["change"], v["comment"]) for v in versions] == [
        (2, "UPDATED", "handed over"), (1, "CREATED", ""),
    ]  # fmt: skip
    (difference,) = api.get(f"/api/v1/jobs/{name}/versions/2/diff").json()["differences"]
    assert (difference["path"], difference["old_value"], difference["new_value"]) == ("tags.team", '"a"', '"b"')
    answer = api.post(f"/api/v1/jobs/{name}/rollback/1", json={}).json()
    assert (answer["rolled_back_from"], answer["new_version"], answer["job"]["tags"]) == (2, 3, {"team": "a"})
    assert api.get(f"/api/v1/jobs/{name}/versions/1").json()["job"]["tags"] == {"team": "a"}
    assert api.get(f"/api/v1/jobs/{name}/versions/9").status_code == 404


def test_a_namespace_keeps_to_its_quotas(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    space = fresh("space")
    quotas = {"max_jobs": 2, "max_concurrent_runs": 1, "max_executions_per_hour": 3}
    answer = api.post("/api/v1/namespaces", json={"id": space, "quotas": quotas})
    assert answer.status_code == 200, answer.text
    jobs = f"/api/v1/namespaces/{space}/jobs"
    for name in ("a", "b"):
        slow = job(name, receiver.url("/slow/0.5"), schedule="@manual", concurrency="ALLOW")
        assert api.post(jobs, json=slow).status_code == 200
    assert api.post(jobs, json=job("c")).status_code == 429

    def quota_is_known() -> bool:
        return bool(api.get(f"/api/v1/namespaces/{space}").json()["quotas"]["max_concurrent_runs"] == 1)

    eventually(quota_is_known)
    ids = [api.post(f"{jobs}/{name}/trigger", json={}).json()["id"] for name in ("a", "b", "a", "b")]

    def ended() -> list[dict[str, str]] | None:
        runs = [api.get(f"/api/v1/namespaces/{space}/executions/{identity}").json() for identity in ids]
        return runs if all(run.get("status") in ("SUCCESS", "SKIPPED") for run in runs) else None

    runs = eventually(ended, within=40, what=lambda: api.get(f"/api/v1/namespaces/{space}/executions").text)
    assert sorted(run["status"] for run in runs) == ["SKIPPED", "SUCCESS", "SUCCESS", "SUCCESS"]
    assert [run["reason_code"] for run in runs if run["status"] == "SKIPPED"] == ["QUOTA"]
    times = sorted((run["started_at"], run["completed_at"]) for run in runs if run["status"] == "SUCCESS")
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(times))


def test_an_enabled_job_makes_up_for_its_pause_only_when_asked(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("pause")
    created(api, job(name, receiver.url("/ok"), schedule="@every 1s", missed_run_policy="EXECUTE_ALL", enabled=False))
    began = datetime.now(UTC)
    eventually(lambda: datetime.now(UTC) - began > timedelta(seconds=3.2))
    assert receiver.of_job(name) == []
    api.post(f"/api/v1/jobs/{name}/enable", json={"catch_up": True})
    eventually(lambda: min(d.scheduled_time for d in receiver.of_job(name)) < began + timedelta(seconds=2))
    api.post(f"/api/v1/jobs/{name}/disable", json={})
    paused = eventually(lambda: [e for e in executions(api, name) if e.get("reason_code") == "PAUSED"])
    assert "disabled" in str(paused[0]["reason"])
