"""What the scan reads is cheap, however much there is."""

from services.scheduler.domain.timeline import Timeline
from tests.unit.test_timeline import SECOND, START_US, job


def due(timeline: Timeline, seconds: float, limit: int = 100) -> list[tuple[float, str]]:
    found = timeline.due_before(START_US + int(seconds * SECOND), limit=limit)
    return sorted(((at_us - START_US) / SECOND, entry.job.id) for at_us, entry in found)


def test_what_should_have_come_up_is_read_and_stays_where_it_is() -> None:
    timeline = Timeline()
    for name, every in (("a", 1), ("b", 2), ("c", 3), ("d", 3)):
        timeline.put(0, job(name, f"*/{every} * * * * *"), after_us=START_US)
    assert due(timeline, 1) == []
    assert due(timeline, 3) == [(1, "a"), (2, "b")]
    assert due(timeline, 3.5) == due(timeline, 3.5) == [(1, "a"), (2, "b"), (3, "c"), (3, "d")]


def test_a_job_that_was_removed_is_not_due() -> None:
    timeline = Timeline()
    timeline.put(0, job("a"), after_us=START_US)
    timeline.remove(0, "default", "a")
    assert due(timeline, 10) == []


def test_a_job_that_waits_for_its_turn_to_catch_up_is_not_due_before_it() -> None:
    timeline = Timeline()
    timeline.put(0, job("a"), after_us=START_US)
    (entry,) = timeline.pop_due(START_US + SECOND)
    timeline.advance(entry, after_us=START_US + SECOND, not_before_us=START_US + 10 * SECOND)
    assert due(timeline, 9) == []
    assert due(timeline, 11) == [(10, "a")]


def test_no_more_is_read_than_asked_for() -> None:
    timeline = Timeline()
    for number in range(200):
        timeline.put(0, job(f"same-{number}", "*/5 * * * * *"), after_us=START_US)
        timeline.put(0, job(f"other-{number}"), after_us=START_US + number * SECOND)
    assert len(due(timeline, 1_000, limit=50)) == 50
