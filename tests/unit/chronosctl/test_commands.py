import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.edge import Answer, FakeEdge
from tests.unit.chronosctl.conftest import Ctl

JOB = {
    "namespace": "default",
    "id": "a",
    "name": "A",
    "schedule": "@hourly",
    "webhook": {"url": "http://x"},
    "etag": "7",
}
EXECUTION = {"id": "0197-e", "job_id": "a", "status": "SUCCESS", "scheduled_time": "2026-01-01T00:00:00Z"}


def refusal(status: int, reason: str = "", message: str = "No.", **fields: str) -> Answer:
    violations = [{"field": field, "description": text} for field, text in fields.items()]
    details: list[dict[str, Any]] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "field_violations": violations})
    return Answer(status=status, body={"code": 3, "message": message, "details": details})


def test_a_list_follows_the_pages_and_sends_the_filter(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"jobs": [JOB], "next_page_token": "t"}), Answer(body={"jobs": [JOB | {"id": "b"}]}))
    ran = ctl("job", "list", "--enabled", "--tag", 'team=a"b', "-o", "json")
    assert [job["id"] for job in json.loads(ran.out)["jobs"]] == ["a", "b"]
    assert edge.asked[0].query["filter"] == ['enabled = true AND tags.team = "a\\"b"']
    assert edge.asked[1].query["page_token"] == ["t"]


def test_a_table_shows_each_job_on_a_line_and_does_not_cut_it_in_a_pipe(ctl: Ctl, edge: FakeEdge) -> None:
    url = "http://example.com/" + "long/" * 60
    edge.will(Answer(body={"jobs": [JOB | {"webhook": {"url": url}}]}))
    lines = ctl("job", "list").out.splitlines()
    assert lines[0].split()[:3] == ["ID", "NAME", "SCHEDULE"]
    assert url in lines[1]


def test_the_key_and_the_namespace_go_with_each_call(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB))
    assert ctl("--api-key", "k", "job", "get", "a", "--namespace", "team").status == 0
    assert edge.asked[0].path == "/api/v1/namespaces/team/jobs/a"
    assert edge.asked[0].headers["x-api-key"] == "k"


def test_an_id_cannot_leave_its_place_in_the_path(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB))
    ctl("job", "get", "../a?b=c")
    assert edge.asked[0].path == "/api/v1/jobs/..%2Fa%3Fb%3Dc"


def test_yaml_output_can_be_read_back(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB))
    assert yaml.safe_load(ctl("-o", "yaml", "job", "get", "a").out) == JOB


def test_a_quick_job_is_made_from_flags(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB))
    flags = "--name A --schedule @hourly --url http://x --method put --timeout 5m --disabled --header X-A=b --tag t=v"
    ran = ctl("job", "create", *flags.split(), "--set", "retry_policy.max_attempts=5", "--set", "tags.u=w")
    assert (ran.status, ran.out) == (0, "Created a.\n")
    assert edge.asked[0].body == {
        "name": "A",
        "schedule": "@hourly",
        "timeout": "300s",
        "enabled": False,
        "webhook": {"url": "http://x", "method": "PUT", "headers": {"X-A": "b"}},
        "retry_policy": {"max_attempts": 5},
        "tags": {"u": "w", "t": "v"},
    }
    assert edge.asked[0].query["request_id"]


def test_creating_several_jobs_goes_on_after_a_failure_and_tells_it_at_the_end(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(refusal(400, schedule="has 3 fields; write 5 or 6"), Answer(body=JOB))
    ran = ctl("job", "create", "-f", "-", stdin="[{name: first}, {name: second}]")
    assert ran.status == 1
    assert ran.out == "Created a.\n"
    assert "schedule: has 3 fields; write 5 or 6" in ran.err
    assert "1 of 2 jobs were not created: first" in ran.err


def test_what_get_printed_can_be_given_back_to_replace(ctl: Ctl, edge: FakeEdge, home: Path) -> None:
    (home / "job.yaml").write_text(yaml.safe_dump(JOB | {"uid": "u", "next_run": "2026-01-01T00:00:00Z", "version": 3}))
    edge.will(Answer(body=JOB))
    assert ctl("job", "replace", "-f", "job.yaml").status == 0
    assert (edge.asked[0].method, edge.asked[0].path, edge.asked[0].body) == ("PUT", "/api/v1/jobs/a", JOB)


def test_an_update_names_the_fields_it_changes(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB))
    assert ctl("job", "update", "a", "--schedule", "@daily", "--set", "webhook.timeout=1m", "--etag", "7").status == 0
    assert edge.asked[0].query["update_mask"] == ["schedule,webhook.timeout"]
    assert edge.asked[0].body == {"schedule": "@daily", "webhook": {"timeout": "60s"}, "etag": "7"}


def test_an_update_of_one_tag_keeps_the_others_and_guards_against_a_change_in_between(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB | {"tags": {"team": "x", "tier": "1"}}))
    assert ctl("job", "update", "a", "--set", "tags.team=y", "--set", "tags.new=z").status == 0
    patch = edge.asked[-1]
    assert patch.query["update_mask"] == ["tags"]
    assert patch.body == {"tags": {"team": "y", "tier": "1", "new": "z"}, "etag": "7"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "create"),
        ("job", "update", "a"),
        ("job", "create", "--set", "uid=1"),
        ("job", "create", "-f", "x", "--name", "a"),
        ("job", "list", "--tag", "team"),
        ("job", "trigger", "a", "--wait-timeout", "5"),
        ("execution", "get", "a", "b", "c"),
        ("job", "frobnicate"),
        ("job", "get"),
    ],
)
def test_wrong_usage_exits_with_2_and_calls_nobody(ctl: Ctl, edge: FakeEdge, arguments: tuple[str, ...]) -> None:
    assert ctl(*arguments).status == 2
    assert edge.asked == []


def test_a_trigger_that_waits_succeeds_with_its_execution(ctl: Ctl, edge: FakeEdge, pauses: list[timedelta]) -> None:
    edge.will(
        Answer(body=EXECUTION | {"status": "PENDING"}),
        Answer(body=EXECUTION | {"status": "RUNNING"}),
        Answer(body=EXECUTION),
    )
    ran = ctl("job", "trigger", "a", "--wait", "-o", "json")
    assert (ran.status, json.loads(ran.out)["status"]) == (0, "SUCCESS")
    assert len(pauses) == 2


def test_a_trigger_that_waits_fails_with_its_execution(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=EXECUTION | {"status": "FAILED", "error": "503 from the target"}))
    ran = ctl("job", "trigger", "a", "--wait")
    assert ran.status == 1
    assert "ended as FAILED: 503 from the target" in ran.err


def test_a_trigger_stops_waiting_in_the_end(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=EXECUTION | {"status": "RUNNING"}))
    ran = ctl("job", "trigger", "a", "--wait", "--wait-timeout", "2s")
    assert ran.status == 1
    assert "still RUNNING" in ran.err


def test_a_watch_goes_on_where_it_was_cut(ctl: Ctl, edge: FakeEdge, pauses: list[timedelta]) -> None:
    first = (
        json.dumps({"execution": EXECUTION, "resume_token": "t1"}) + "\n" + json.dumps({"resume_token": "t2"}) + "\n"
    )
    second = json.dumps({"execution": EXECUTION | {"id": "other"}, "resume_token": "t3"}) + "\n"
    edge.will(
        Answer(text=first + '{"execution": {"i', is_cut=True),
        refusal(503),
        Answer(text=second),
    )
    ran = ctl("execution", "watch", "a", "-n", "2", "-o", "json")
    assert (ran.status, [json.loads(line)["id"] for line in ran.out.splitlines()]) == (0, ["0197-e", "other"])
    assert [asked.query.get("resume_token") for asked in edge.asked] == [None, ["t2"], ["t2"]]
    assert [pause.total_seconds() for pause in pauses] == [0.5, 1.0]


def test_a_watch_that_is_refused_ends(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(refusal(403))
    assert ctl("execution", "watch").status == 1


def test_what_a_target_answered_cannot_command_the_terminal(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=EXECUTION | {"response": "\x1b[2Jgone", "error": "one\ntwo"}))
    assert "\x1b" not in ctl("execution", "get", "0197-e").out


def test_a_list_of_executions_can_be_narrowed(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"executions": [EXECUTION], "next_page_token": "more"}))
    ran = ctl("execution", "list", "a", "--status", "failed", "--status", "SKIPPED", "-n", "1")
    assert "0197-e" in ran.out
    assert edge.asked[0].query == {"status": ["FAILED", "SKIPPED"], "page_size": ["1"]}
    assert len(edge.asked) == 1


def test_an_unhealthy_cluster_is_told_and_exits_with_1(ctl: Ctl, edge: FakeEdge) -> None:
    member = {"service": "scheduler", "replica": "scheduler-0", "address": "127.0.0.1:8180"}
    shards = [{"shard": 0, "owner": "scheduler-0", "epoch": "5", "watermark": "2026-01-01T00:00:00Z"}, {"shard": 1}]
    body = {"meta": {"shard_count": 2}, "members": [member], "shards": shards, "problems": ["shard 1 has no owner"]}
    edge.will(Answer(body=body))
    ran = ctl("cluster", "status", "--shards")
    assert ran.status == 1
    assert "shard 1 has no owner" in ran.out
    assert "1 of 2 owned" in ran.out


def test_findings_are_told_with_what_to_do_and_do_not_make_the_command_fail(ctl: Ctl, edge: FakeEdge) -> None:
    finding = {
        "kind": "BEHIND", "subject": "shard 7", "since": "2026-01-01T00:00:00Z", "replica": "scheduler-0",
        "message": "its watermark stands still", "fix": "look at history",
    }  # fmt: skip
    edge.will(Answer(body={"is_healthy": True, "findings": [finding]}))
    ran = ctl("cluster", "status")
    assert ran.status == 0
    assert "BEHIND: shard 7, since 2026-01-01" in ran.out
    assert "seen by scheduler-0\n  its watermark stands still\n  fix: look at history" in ran.out


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (refusal(401), "--api-key"),
        (refusal(403), "permission"),
        (refusal(404), "job list"),
        (refusal(409, "ALREADY_EXISTS"), "another id"),
        (refusal(409, "STALE_ETAG"), "get it again"),
        (refusal(413), "limits the size"),
        (refusal(503), "cluster status"),
        (Answer(status=502, text="<html>bad gateway</html>"), "bad gateway"),
        (Answer(text="hello"), "is it the address of a Chronos edge"),
    ],
)
def test_an_error_says_what_to_do(ctl: Ctl, edge: FakeEdge, answer: Answer, advice: str) -> None:
    edge.will(answer)
    ran = ctl("job", "get", "a")
    assert (ran.status, ran.out) == (1, "")
    assert advice in ran.err


def test_no_server_is_told_with_how_to_start_one(ctl: Ctl) -> None:
    ran = ctl("job", "list", server="http://127.0.0.1:1")
    assert ran.status == 1
    assert "`chronos up`" in ran.err


def test_a_call_that_was_too_fast_waits_as_long_as_asked_and_is_repeated(
    ctl: Ctl, edge: FakeEdge, pauses: list[timedelta]
) -> None:
    edge.will(Answer(status=429, body={}, headers={"Retry-After": "2"}), Answer(body=JOB))
    assert ctl("job", "get", "a").status == 0
    assert pauses == [timedelta(seconds=2)]


def test_a_call_that_stays_too_fast_is_given_up(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(status=429, body={"message": "Slow down."}))
    ran = ctl("job", "get", "a")
    assert (ran.status, len(edge.asked)) == (1, 6)
    assert "Slow down." in ran.err


def test_a_quota_that_is_used_up_is_told_at_once(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(refusal(429, "JOB_QUOTA_REACHED", "its quota allows for 5"))
    ran = ctl("job", "create", "--name", "x")
    assert (ran.status, len(edge.asked)) == (1, 1)
    assert "namespace get" in ran.err


def test_profiles_are_made_listed_without_keys_and_used(ctl: Ctl, edge: FakeEdge, home: Path) -> None:
    edge.will(Answer(body=JOB))
    assert ctl("profile", "set", "work", "--server", edge.url, "--api-key", "chronos_id_secret").status == 0
    assert ctl("profile", "set", "play", "--server", "http://localhost:1", "--namespace", "p").status == 0
    listed = ctl("profile", "list")
    assert "chronos_id_secret" not in listed.out + listed.err
    assert ctl("job", "get", "a", "--profile", "work").status == 0
    assert edge.asked[0].headers["x-api-key"] == "chronos_id_secret"
    assert ctl("profile", "use", "play").status == 0
    assert json.loads(ctl("profile", "list", "-o", "json").out)["profiles"][0]["is_current"] is True
    assert ctl("profile", "delete", "play").status == 0
    assert ctl("profile", "use", "play").status == 2
