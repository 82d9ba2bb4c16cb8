import pytest

from tests.fakes.edge import Answer, FakeEdge
from tests.unit.chronosctl.conftest import Ctl

EXECUTION = {
    "id": "0197-e",
    "job_id": "a",
    "status": "TIMED_OUT",
    "scheduled_time": "2026-11-01T00:00:00Z",
    "completed_at": "2026-11-01T00:01:00Z",
    "attempt_count": 3,
    "error": "no answer within 30 s",
}
LETTER = {"id": "0197-e", "execution": EXECUTION}
FLAGS = "--job a --status timed_out --status lost --reason interrupted --from 2026-11-01 --to 2026-11-08"
CHOICE = {
    "job_id": "a",
    "status": ["TIMED_OUT", "LOST"],
    "reason": ["INTERRUPTED"],
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-11-08T00:00:00Z",
}


def test_dead_letters_are_listed_as_chosen(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"dead_letters": [LETTER, LETTER | {"replayed_by": "0197-f"}]}))
    ran = ctl("dead-letters", "list", *FLAGS.split(), "--replayed", "-n", "5")
    assert "no answer within 30 s" in ran.out
    assert "settled by 0197-f" in ran.out
    asked = edge.asked[0]
    assert asked.path == "/api/v1/dead-letters"
    expected = {name: value if isinstance(value, list) else [value] for name, value in CHOICE.items()}
    assert asked.query == expected | {"include_replayed": ["true"], "page_size": ["5"]}


def test_a_dead_letter_shows_its_execution_and_whether_it_is_settled(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=LETTER), Answer(body=LETTER | {"replayed_by": "0197-f"}))
    ran = ctl("dead-letters", "get", "0197-e", "--namespace", "ops")
    assert ("no answer within 30 s" in ran.out, "Open." in ran.err) == (True, True)
    assert edge.asked[0].path == "/api/v1/namespaces/ops/dead-letters/0197-e"
    assert "Settled: 0197-f repeated it" in ctl("dead-letters", "get", "0197-e").err


def test_one_dead_letter_is_replayed_by_its_id(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"id": "0198-a"}))
    ran = ctl("dead-letters", "replay", "0197-e", "--skip-retries", "--request-id", "r")
    assert (ran.status, "0198-a" in ran.out, "On their way: 1." in ran.err) == (0, True, True)
    assert edge.asked[0].path == "/api/v1/dead-letters/0197-e/replay"
    assert edge.asked[0].body == {"request_id": "r", "skip_retries": True}


def test_many_dead_letters_are_replayed_page_after_page_under_one_wish(ctl: Ctl, edge: FakeEdge) -> None:
    failure = {"id": "0197-g", "error": "the job was deleted"}
    edge.will(
        Answer(body={"dead_letter_ids": ["0197-e"], "execution_ids": ["0198-a"], "next_page_token": "t"}),
        Answer(body={"dead_letter_ids": ["0197-f"], "execution_ids": ["0198-b"], "failures": [failure]}),
    )
    ran = ctl("dead-letters", "replay", *FLAGS.split())
    assert (ran.status, "0198-a" in ran.out, "0198-b" in ran.out) == (1, True, True)
    assert "On their way: 2." in ran.err
    assert "0197-g: the job was deleted" in ran.err
    assert "1 could not be replayed and stay open" in ran.err
    first, second = (asked.body for asked in edge.asked)
    assert first == CHOICE | {"request_id": first["request_id"], "page_size": 500}
    assert second == first | {"page_token": "t"}
    assert {asked.path for asked in edge.asked} == {"/api/v1/dead-letters/replay"}


def test_a_dry_run_replays_nothing(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"dead_letter_ids": ["0197-e"]}))
    ran = ctl("dead-letters", "replay", "--all", "--dry-run")
    assert ("0197-e" in ran.out, "Would replay: 1." in ran.err) == (True, True)
    assert edge.asked[0].body["validate_only"] is True


def test_a_purge_deletes_what_is_chosen(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"count": 7}))
    assert "Would delete 7." in ctl("dead-letters", "purge", *FLAGS.split(), "--replayed", "--dry-run").out
    assert edge.asked[0].path == "/api/v1/dead-letters/purge"
    assert edge.asked[0].body == CHOICE | {"include_replayed": True, "validate_only": True}
    assert "Deleted 7." in ctl("dead-letters", "purge", "--all").out
    assert edge.asked[1].body == {}


def test_a_dead_letter_is_deleted(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"id": "0197-e"}))
    assert "Deleted 0197-e." in ctl("dead-letters", "delete", "0197-e").out
    assert (edge.asked[0].method, edge.asked[0].path) == ("DELETE", "/api/v1/dead-letters/0197-e")


@pytest.mark.parametrize(
    "arguments", ["replay", "purge", "replay 0197-e --job a", "replay 0197-e --dry-run", "purge --all --job a"]
)
def test_it_must_be_clear_which_dead_letters_are_meant(ctl: Ctl, edge: FakeEdge, arguments: str) -> None:
    ran = ctl("dead-letters", *arguments.split())
    assert (ran.status, edge.asked) == (2, [])


def test_programs_get_the_answer_as_it_is(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"dead_letters": [LETTER]}))
    assert '"dead_letters"' in ctl("dead-letters", "list", "-o", "json").out
    edge.will(Answer(body=LETTER))
    assert '"execution"' in ctl("dead-letters", "get", "0197-e", "-o", "json").out
