import json

import pytest

from tests.fakes.edge import Answer, FakeEdge
from tests.unit.chronosctl.conftest import Ctl

RUN = {"id": "0197-e", "job_id": "a", "status": "PENDING", "scheduled_time": "2026-11-01T00:00:00Z"}
SKIPPED = RUN | {
    "status": "SKIPPED",
    "reason_code": "OVERLAP",
    "reason": "another run was under way",
    "skipped_count": 3,
    "skipped_until": "2026-11-01T02:00:00Z",
}


def test_a_backfill_shows_what_it_runs(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"executions": [RUN], "already_succeeded": 2}))
    flags = "--from 2026-11-01 --to 2026-11-08T00:00:00Z --rerun --dry-run --concurrency allow"
    ran = ctl("job", "backfill", "a", *flags.split())
    assert "0197-e" in ran.out
    assert "Would run: 1; 2 had succeeded and were left out." in ran.err
    assert edge.asked[0].path == "/api/v1/jobs/a/backfill"
    assert edge.asked[0].body == {
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-11-08T00:00:00Z",
        "concurrency": "ALLOW",
        "rerun": True,
        "validate_only": True,
    }


def test_an_explanation_says_what_happened_and_why(ctl: Ctl, edge: FakeEdge) -> None:
    body = {
        "verdict": "SKIPPED",
        "summary": "It was skipped.",
        "facts": ["Run 0197-e was under way."],
        "execution": SKIPPED,
    }
    edge.will(Answer(body=body))
    ran = ctl("job", "explain", "a", "--at", "2026-11-01T00:00:00Z")
    assert "SKIPPED" in ran.out
    assert "It was skipped." in ran.out
    assert "- Run 0197-e was under way." in ran.out
    assert "OVERLAP: another run was under way" in ran.out
    assert edge.asked[0].query == {"at": ["2026-11-01T00:00:00Z"]}


def test_a_skipped_execution_shows_its_reason_and_how_many_runs_it_stands_for(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"executions": [SKIPPED]}), Answer(body=SKIPPED))
    assert "OVERLAP: another run was under way" in ctl("execution", "list").out
    assert "3 runs, the last one due 2026-11-01 02:00:00.000Z" in ctl("execution", "get", "0197-e").out


def test_a_replay_changes_only_what_it_is_told_to(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=RUN | {"replay_of": "0197-d"}))
    flags = "--url http://other --method put --header X-A=b --header X-Gone= --body= --skip-retries --request-id r"
    ran = ctl("execution", "replay", "a", "0197-d", *flags.split())
    assert (ran.status, "0197-d" in ran.out) == (0, True)
    assert edge.asked[0].path == "/api/v1/jobs/a/executions/0197-d/replay"
    assert edge.asked[0].body == {
        "request_id": "r",
        "skip_retries": True,
        "changes": {"url": "http://other", "method": "PUT", "headers": {"X-A": "b", "X-Gone": ""}, "body": ""},
    }
    ctl("execution", "replay", "0197-d")
    assert list(edge.asked[1].body) == ["request_id"]


def test_a_replay_that_waits_fails_with_its_execution(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=RUN), Answer(body=RUN | {"status": "LOST"}))
    ran = ctl("execution", "replay", "0197-d", "--wait")
    assert (ran.status, "ended as LOST" in ran.err) == (1, True)


def test_a_cancel_says_why(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=RUN | {"status": "CANCELLED"}))
    assert ctl("execution", "cancel", "0197-e", "--reason", "by mistake").status == 0
    assert (edge.asked[0].path, edge.asked[0].body) == ("/api/v1/executions/0197-e/cancel", {"reason": "by mistake"})


def test_a_trigger_and_an_enable_can_be_told_how(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=RUN))
    ctl("job", "trigger", "a", "--concurrency", "replace", "--request-id", "r")
    ctl("job", "enable", "a", "--catch-up")
    ctl("job", "enable", "a")
    assert [asked.body for asked in edge.asked] == [
        {"request_id": "r", "concurrency": "REPLACE"},
        {"catch_up": True},
        {},
    ]


def test_versions_are_listed_shown_compared_and_gone_back_to(ctl: Ctl, edge: FakeEdge) -> None:
    version = {"version": 3, "change": "ROLLED_BACK", "rolled_back_to": 1, "created_by": "key", "comment": "was wrong"}
    job = {"id": "a", "name": "A", "schedule": "@daily"}
    difference = {"path": "schedule", "kind": "MODIFIED", "old_value": '"@daily"', "new_value": '"@hourly"'}
    edge.will(
        Answer(body={"versions": [version]}),
        Answer(body=version | {"job": job}),
        Answer(body={"old_version": 1, "new_version": 2, "differences": [difference]}),
        Answer(body={"job": job, "rolled_back_from": 2, "new_version": 3}),
    )
    assert "ROLLED_BACK to 1" in ctl("job", "versions", "a").out
    assert "@daily" in ctl("job", "version", "a", "3").out
    shown = ctl("job", "diff", "a", "2", "--against", "1").out
    assert '~  schedule  "@daily"   "@hourly"' in shown
    assert "version 3, after 2" in ctl("job", "rollback", "a", "1", "--comment", "was wrong").out
    assert [asked.path.removeprefix("/api/v1/jobs/a/") for asked in edge.asked] == [
        "versions",
        "versions/3",
        "versions/2/diff",
        "rollback/1",
    ]
    assert (edge.asked[2].query, edge.asked[3].body) == ({"against": ["1"]}, {"comment": "was wrong"})


def test_circuit_breakers_are_listed(ctl: Ctl, edge: FakeEdge) -> None:
    breaker = {"host": "x:80", "dispatcher": "dispatcher-1", "state": "OPEN", "failures": 5, "last_error": "refused"}
    edge.will(Answer(body={"circuit_breakers": [breaker]}))
    shown = ctl("circuit-breakers", "--host", "x:80", "--namespace", "team").out
    assert "OPEN" in shown
    assert (edge.asked[0].path, edge.asked[0].query) == ("/api/v1/circuit-breakers", {"host": ["x:80"]})


def test_executions_of_every_status_can_be_listed(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"executions": []}))
    span = ("--from", "2026-11-01", "--to", "2026-11-02T00:00:00Z")
    assert ctl("execution", "list", "--status", "cancelled", "--status", "lost", *span, "-o", "json").status == 0
    assert (edge.asked[0].query["from"], edge.asked[0].query["to"]) == (
        ["2026-11-01T00:00:00Z"],
        ["2026-11-02T00:00:00Z"],
    )
    assert edge.asked[0].query["status"] == ["CANCELLED", "LOST"]


def test_answers_for_programs_are_unchanged(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"executions": [RUN]}))
    printed = ctl("job", "backfill", "a", "--from", "-2h", "--to", "now", "-o", "json").out
    assert json.loads(printed) == {"executions": [RUN]}


@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "backfill", "a"),
        ("job", "backfill", "a", "--from", "x", "--to", "now"),
        ("job", "trigger", "a", "--concurrency", "never"),
        ("job", "explain", "a", "--at", "then"),
        ("job", "diff", "a"),
        ("job", "version", "a", "0"),
        ("execution", "cancel", "a", "b", "c"),
        ("execution", "replay", "a", "--header", "x"),
    ],
)
def test_wrong_usage_exits_with_2_and_calls_nobody(ctl: Ctl, edge: FakeEdge, arguments: tuple[str, ...]) -> None:
    assert ctl(*arguments).status == 2
    assert edge.asked == []
