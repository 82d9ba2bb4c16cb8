"""What is due next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.identity import microseconds
from services.scheduler.domain.in_force import end
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


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def run_all(timeline: Timeline, until_us: int) -> list[tuple[int, int]]:
    """Seconds and versions of what comes up, each put back at its next time."""
    found = []
    for entry in timeline.pop_due(until_us):
        found.append(((entry.due_us - START_US) // SECOND, entry.job.version))
        timeline.advance(entry, after_us=entry.due_us)
    return found


def test_what_an_old_version_has_due_stays_until_the_new_one_is_in_force() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    timeline.put(0, job(schedule="*/2 * * * * *", version=2), after_us=START_US, since=at(3))
    timeline.put(0, job(schedule="*/5 * * * * *", version=3), after_us=START_US, since=at(6.5))
    assert run_all(timeline, START_US + 10 * SECOND) == [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2), (10, 3)]


def test_a_disabled_job_keeps_what_was_due_before_and_goes_on_when_it_is_enabled() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    timeline.put(0, job(is_enabled=False, version=2), after_us=START_US, since=at(2))
    timeline.put(0, replace(job(version=3), effective_at=at(5)), after_us=START_US, since=at(5))
    assert run_all(timeline, START_US + 7 * SECOND) == [(1, 1), (2, 1), (6, 3), (7, 3)]


def test_what_a_version_ran_before_it_was_known_to_be_over_is_not_repeated_by_the_next_but_one() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    assert len(run_all(timeline, START_US + 5 * SECOND)) == 5
    timeline.put(0, job(is_enabled=False, version=2), after_us=START_US, since=at(1.5))
    assert len(timeline) == 0
    timeline.put(0, replace(job(version=3), effective_at=at(2.5)), after_us=START_US, since=at(2.5))
    assert run_all(timeline, START_US + 7 * SECOND) == [(6, 3), (7, 3)]


def test_a_job_that_is_at_its_end_does_not_run_again_when_it_is_changed() -> None:
    timeline = Timeline()
    timeline.put(0, job(schedule="@at 2026-01-01T00:00:03Z"), after_us=START_US)
    assert run_all(timeline, START_US + 5 * SECOND) == [(3, 1)]
    timeline.put(0, job(schedule="@at 2026-01-01T00:00:03Z", version=2), after_us=START_US, since=at(2))
    timeline.put(0, job(schedule="@at 2026-01-01T00:00:04Z", version=3), after_us=START_US, since=at(2.1))
    assert run_all(timeline, START_US + 5 * SECOND) == [(4, 3)]


def test_a_version_whose_calendars_changed_looks_its_times_up_again_and_leaves_the_past() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    assert len(run_all(timeline, START_US + 5 * SECOND)) == 5
    timeline.put(0, job(schedule="*/2 * * * * *"), after_us=START_US + 5 * SECOND)
    assert run_all(timeline, START_US + 8 * SECOND) == [(6, 1), (8, 1)]


def test_what_is_overdue_when_calendars_change_stays_due() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    assert len(run_all(timeline, START_US + 2 * SECOND)) == 2
    timeline.put(0, job(version=2), after_us=START_US, since=at(3))
    timeline.put(0, job(schedule="*/2 * * * * *", version=2), after_us=START_US + 7 * SECOND)
    assert run_all(timeline, START_US + 8 * SECOND) == [(3, 1), (4, 2), (6, 2), (8, 2)]


def test_what_is_left_of_a_deleted_job_is_beside_the_job_that_has_its_id_now() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    entry = timeline.remove(0, "default", "a")
    assert entry is not None
    timeline.put(0, replace(job(version=7), uid="other", effective_at=at(2.5)), after_us=0)
    assert timeline.end(0, end(entry.reigns, at(2)), after_us=entry.due_us - 1) is not None
    assert run_all(timeline, START_US + 3 * SECOND) == [(1, 1), (2, 1), (3, 7)]
    assert run_all(timeline, START_US + 4 * SECOND) == [(4, 7)]


def test_what_is_left_of_deleted_jobs_goes_with_the_shard() -> None:
    timeline = Timeline()
    timeline.put(0, job(), after_us=START_US)
    entry = timeline.remove(0, "default", "a")
    assert entry is not None
    assert timeline.end(0, end(entry.reigns, at(2)), after_us=START_US) is not None
    timeline.forget_ended(0)
    assert names(timeline, START_US + 3 * SECOND) == []


@given(
    expressions=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    gaps=st.lists(st.integers(0, 40), min_size=4, max_size=4),
    learned=st.lists(st.integers(0, 30), min_size=4, max_size=4),
)
def test_whenever_changes_are_learned_of_every_moment_comes_once_and_none_that_is_due_is_left_out(
    expressions: list[int], gaps: list[int], learned: list[int]
) -> None:
    """Times in tenths of seconds; version n runs every `expressions[n]` seconds."""
    jobs = [
        replace(job(schedule=f"*/{each} * * * * *", version=number), effective_at=START)
        for number, each in enumerate(expressions)
    ]
    since = [0]
    for gap in gaps[: len(jobs) - 1]:
        since.append(since[-1] + gap)
    timeline = Timeline()
    timeline.put(0, jobs[0], after_us=START_US)
    came: list[int] = []
    news = 0
    for number in range(1, len(jobs)):
        news = max(news, since[number] + learned[number - 1])
        came += [second for second, _ in run_all(timeline, START_US + news * SECOND // 10)]
        timeline.put(0, jobs[number], after_us=START_US, since=at(since[number] / 10))
    came += [second for second, _ in run_all(timeline, START_US + 60 * SECOND)]
    assert len(came) == len(set(came))
    for number, each in enumerate(expressions):
        stop = since[number + 1] if number + 1 < len(jobs) else 600
        due = {second for second in range(1, 61) if second % each == 0 and since[number] < second * 10 <= stop}
        assert due <= set(came)
