"""How news moves a record on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.history.domain.records import ACCEPTED, Record, Status
from services.history.domain.transitions import advance, coalesce, is_stale
from tests.fakes.history_records import record

FINAL = [status for status in Status if status >= Status.SUCCESS]
KNOWN_ENDS = [Status.SUCCESS, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED]


@pytest.mark.parametrize("final", KNOWN_ENDS)
@pytest.mark.parametrize("news", Status)
def test_nothing_moves_what_has_really_ended(final: Status, news: Status) -> None:
    stored = record(status=final)
    assert advance(stored, record(status=news, delivery=9, attempt_count=9)) is stored


@pytest.mark.parametrize("status", FINAL)
def test_an_end_of_the_same_delivery_counts(status: Status) -> None:
    assert advance(record(status=Status.RUNNING), record(status=status)).status == status


@pytest.mark.parametrize("status", [status for status in FINAL if status != Status.SUCCESS])
def test_an_unhappy_end_of_an_earlier_delivery_does_not_count(status: Status) -> None:
    stored = record(status=Status.RUNNING, delivery=2)
    assert advance(stored, record(status=status, delivery=1)) is stored


@pytest.mark.parametrize("end", KNOWN_ENDS)
@pytest.mark.parametrize("delivery", [1, 2])
def test_an_end_of_what_was_thought_lost_is_its_end(end: Status, delivery: int) -> None:
    moved = advance(record(status=Status.LOST, delivery=2), record(status=end, delivery=delivery))
    assert (moved.status, moved.delivery) == (end, 2)


@pytest.mark.parametrize("end", KNOWN_ENDS)
def test_an_end_of_what_was_skipped_while_it_was_under_way_is_its_end(end: Status) -> None:
    moved = advance(record(status=Status.SKIPPED, delivery=0, reason="deleted", reason_code=9), record(status=end))
    assert (moved.status, moved.delivery, moved.reason, moved.reason_code) == (end, 1, "", 0)


@pytest.mark.parametrize("news", [Status.PENDING, Status.RUNNING, Status.SKIPPED, Status.LOST])
def test_what_was_skipped_is_not_begun_again(news: Status) -> None:
    stored = record(status=Status.SKIPPED, delivery=0)
    assert advance(stored, record(status=news, delivery=3, attempt_count=9)) is stored


@pytest.mark.parametrize("end", KNOWN_ENDS)
def test_a_skipped_stretch_stays(end: Status) -> None:
    stored = record(status=Status.SKIPPED, delivery=0, skipped_until_us=9)
    assert advance(stored, record(status=end)) is stored


@pytest.mark.parametrize(("news", "delivery"), [(Status.RUNNING, 3), (Status.SUCCESS, 3), (Status.SKIPPED, 2)])
def test_nothing_else_finds_what_is_lost(news: Status, delivery: int) -> None:
    stored = record(status=Status.LOST, delivery=2)
    assert advance(stored, record(status=news, delivery=delivery, attempt_count=9)) is stored


def test_the_same_again_changes_nothing() -> None:
    stored = record(status=Status.RUNNING)
    assert advance(stored, record(status=Status.RUNNING)) is stored


def test_what_identifies_an_execution_never_changes() -> None:
    stored = record(status=Status.RUNNING)
    moved = advance(stored, record(job_id="other", namespace="other", scheduled_us=5, shard=9))
    assert (moved.job_id, moved.namespace, moved.scheduled_us, moved.shard) == ("report", "default", 1_000_000, 3)


def test_the_earliest_start_stays() -> None:
    assert advance(record(status=Status.RUNNING, started_us=70), record(started_us=90)).started_us == 70
    assert advance(record(status=Status.PENDING), record(started_us=90)).started_us == 90


def test_only_starts_of_older_epochs_are_stale() -> None:
    assert is_stale(record(status=Status.RUNNING, epoch=7), 8)
    assert is_stale(record(status=Status.PENDING, epoch=7), 8)
    assert not is_stale(record(status=Status.RUNNING, epoch=8), 8)
    assert not is_stale(record(status=Status.FAILED, epoch=7), 8)


def test_what_a_target_has_accepted_is_never_stale() -> None:
    assert not is_stale(record(status=Status.RUNNING, reason_code=ACCEPTED, epoch=7), 8)


def test_a_run_is_accepted_once_and_stays_so_within_its_attempt() -> None:
    begun, accepted = record(status=Status.RUNNING), record(status=Status.RUNNING, reason_code=ACCEPTED)
    assert advance(begun, accepted).reason_code == ACCEPTED
    assert advance(accepted, begun) is accepted
    again = record(status=Status.RUNNING, delivery=2)
    assert advance(accepted, again).reason_code == 0
    assert advance(again, accepted) is again


def test_the_end_of_an_accepted_run_counts() -> None:
    accepted = record(status=Status.RUNNING, reason_code=ACCEPTED, attempts=b"x")
    end = advance(accepted, record(status=Status.FAILED, attempt_count=0, attempts=b""))
    assert (end.status, end.reason_code, end.attempts) == (Status.FAILED, 0, b"x")


@pytest.mark.parametrize("end", KNOWN_ENDS)
@pytest.mark.parametrize("status", [status for status in Status if status != Status.SUCCESS])
def test_a_settled_end_stands_above_what_any_delivery_came_to(status: Status, end: Status) -> None:
    stored = record(status=status, delivery=3, attempt_count=4, attempts=b"four", dispatcher="d")
    moved = advance(stored, record(status=end, delivery=1, attempt_count=0, attempts=b"", is_settled=1))
    assert (moved.status, moved.is_settled, moved.delivery) == (end, 1, 3)
    assert (moved.attempt_count, moved.attempts, moved.dispatcher) == (4, b"four", "d")


@pytest.mark.parametrize("end", KNOWN_ENDS)
@pytest.mark.parametrize("is_settled", [0, 1])
def test_the_first_settled_end_stays(end: Status, is_settled: int) -> None:
    stored = record(status=Status.TIMED_OUT, is_settled=1)
    assert advance(stored, record(status=end, delivery=9, attempt_count=9, is_settled=is_settled)) is stored


@pytest.mark.parametrize("end", KNOWN_ENDS)
def test_a_settled_end_moves_neither_a_success_nor_a_skipped_stretch(end: Status) -> None:
    for stored in (record(), record(status=Status.SKIPPED, delivery=0, skipped_until_us=9)):
        assert advance(stored, record(status=end, is_settled=1)) is stored


def test_a_start_and_an_end_become_one() -> None:
    start, end = record(status=Status.RUNNING, started_us=50), record(started_us=None)
    assert coalesce([start, record(2), end]) == [end._replace(started_us=50), record(2)]


def test_an_end_is_not_joined_with_what_follows_it() -> None:
    batch = [record(status=Status.FAILED, delivery=1), record(status=Status.SUCCESS, delivery=2)]
    assert coalesce(batch) == batch


@st.composite
def news(draw: st.DrawFn) -> Record:
    """What a dispatcher could send: the attempts of a later delivery come after those of the earlier ones, and an end
    tells all of its delivery's."""
    delivery, status = draw(st.integers(1, 3)), draw(st.sampled_from(Status))
    count = 0 if status == Status.PENDING else delivery * 3 + (2 if status in FINAL else draw(st.integers(0, 2)))
    return record(
        draw(st.integers(1, 2)),
        status,
        delivery=delivery,
        epoch=delivery,
        attempt_count=count,
        attempts=b"x" * count,
        started_us=None if status == Status.PENDING else delivery * 100,
        error=f"{delivery}/{status}/{count}",
        reason_code=draw(st.sampled_from([0, ACCEPTED])) if status == Status.RUNNING else 0,
        is_settled=draw(st.integers(0, 1)) if status in KNOWN_ENDS else 0,
    )


def told(start: dict[bytes, Record], batch: list[Record]) -> dict[bytes, Record]:
    known = dict(start)
    for each in batch:
        known[each.id] = advance(known.get(each.id), each)
    return known


@given(st.lists(news(), max_size=5), st.lists(news(), max_size=8))
def test_joined_news_has_the_same_effect_on_whatever_was_there(before: list[Record], batch: list[Record]) -> None:
    start = told({}, before)
    assert told(start, coalesce(batch)) == told(start, batch)
