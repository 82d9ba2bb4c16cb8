"""What is due next."""

from dataclasses import replace
from datetime import UTC, datetime

from services.scheduler.domain.identity import microseconds
from services.scheduler.domain.occurrence import FiringJob
from services.scheduler.domain.schedule.job_schedule import build_schedule
from services.scheduler.domain.schedule.spec import ScheduleSpec
from services.scheduler.domain.timeline import Timeline

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = microseconds(START)
SECOND = 1_000_000


def job(name: str = "a", schedule: str = "* * * * * *", *, is_enabled: bool = True, version: int = 1) -> FiringJob:
    return FiringJob(
        namespace="default",
        id=name,
        uid=f"uid-{name}",
        name=name,
        version=version,
        is_enabled=is_enabled,
        schedule=build_schedule(ScheduleSpec(expression=schedule, anchor=START), {}),
        effective_at=START,
        definition=b"x",
    )


def names(timeline: Timeline, now_us: int) -> list[tuple[str, int]]:
    return [(entry.job.id, entry.due_us) for entry in timeline.pop_due(now_us)]


def test_jobs_come_in_the_order_of_their_times() -> None:
    timeline = Timeline()
    timeline.put(0, job("late", "30 * * * * *"), after_us=START_US)
    timeline.put(0, job("early", "10 * * * * *"), after_us=START_US)
    assert timeline.next_due_us() == START_US + 10 * SECOND
    assert names(timeline, START_US + 40 * SECOND) == [
        ("early", START_US + 10 * SECOND),
        ("late", START_US + 30 * SECOND),
    ]


def test_nothing_comes_early() -> None:
    timeline = Timeline()
    timeline.put(0, job(schedule="10 * * * * *"), after_us=START_US)
    assert names(timeline, START_US + 10 * SECOND - 1) == []
    assert names(timeline, START_US + 10 * SECOND) == [("a", START_US + 10 * SECOND)]


def test_a_popped_job_goes_to_its_next_time_and_catches_up_in_the_same_pass() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    due = []
    for entry in timeline.pop_due(START_US + 3 * SECOND):
        due.append(entry.due_us)
        timeline.advance(entry, after_us=entry.due_us)
    assert due == [START_US + n * SECOND for n in (1, 2, 3)]


def test_a_removed_job_does_not_come_even_when_its_moment_is_being_popped() -> None:
    timeline = Timeline()
    timeline.put(0, job("a"), after_us=START_US)
    timeline.put(0, job("b"), after_us=START_US)
    popped = timeline.pop_due(START_US + SECOND)
    assert next(popped).job.id == "a"
    timeline.remove(0, "default", "b")
    assert list(popped) == []


def test_a_new_version_takes_the_place_of_the_old_one() -> None:
    timeline = Timeline()
    timeline.put(0, job("a", "* * * * * *"), after_us=START_US)
    timeline.put(0, job("a", "30 * * * * *", version=2), after_us=START_US)
    assert len(timeline) == 1
    assert [entry.job.version for entry in timeline.pop_due(START_US + 60 * SECOND)] == [2]


def test_a_new_version_does_not_repeat_what_the_old_one_passed() -> None:
    timeline = Timeline()
    timeline.put(0, job("a"), after_us=START_US)
    for entry in timeline.pop_due(START_US + 2 * SECOND):
        timeline.advance(entry, after_us=entry.due_us)
    timeline.put(0, job("a", version=2), after_us=START_US)
    assert timeline.next_due_us() == START_US + 3 * SECOND
    timeline.put(0, job("a", version=3), after_us=START_US)
    assert names(timeline, START_US + 3 * SECOND) == [("a", START_US + 3 * SECOND)]


def test_a_disabled_job_is_not_there() -> None:
    timeline = Timeline()
    timeline.put(0, job("a"), after_us=START_US)
    timeline.put(0, job("a", is_enabled=False, version=2), after_us=START_US)
    assert len(timeline) == 0
    assert names(timeline, START_US + 60 * SECOND) == []


def test_nothing_before_a_job_took_effect_comes() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US - 3600 * SECOND)
    assert names(timeline, START_US) == []


def test_a_job_that_is_put_back_stays_due() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    (entry,) = list(timeline.pop_due(START_US + SECOND))
    timeline.put_back(entry)
    assert names(timeline, START_US + SECOND) == [("a", START_US + SECOND)]


def test_of_jobs_due_at_one_moment_those_of_higher_priority_come_first() -> None:
    timeline = Timeline()
    for name, priority in (("low", 1), ("usual", 5), ("high", 9)):
        timeline.put(0, replace(job(name), priority=priority), after_us=START_US)
    assert [entry.job.id for entry in timeline.pop_due(START_US + SECOND)] == ["high", "usual", "low"]


def test_a_job_without_times_of_its_own_is_not_on_the_timeline() -> None:
    timeline = Timeline()
    timeline.put(0, replace(job(), schedule=None), after_us=START_US)
    assert len(timeline) == 0
