"""What a schedule has at a time that a person names."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.planned import meant, planned
from services.scheduler.domain.schedule.calendar import WEEKENDS
from services.scheduler.domain.schedule.job_schedule import JobSchedule, build_schedule
from services.scheduler.domain.schedule.spec import CalendarSpec, Roll, ScheduleSpec, WindowSpec

BEGIN = datetime(2026, 3, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
CALENDARS = {"weekends": WEEKENDS}


def spec(roll: Roll = Roll.SKIP, jitter: timedelta = timedelta(0)) -> ScheduleSpec:
    """Every three hours on work days, but not in the morning: with a change of the clocks in the second week."""
    return ScheduleSpec(
        expression="0 */3 * * *", timezone="Europe/Berlin", anchor=BEGIN, seed="default/a", jitter=jitter,
        blackout_windows=(WindowSpec(start="08:00", end="10:00"),),
        calendars=CalendarSpec(exclude=("weekends",), roll=roll),
    )  # fmt: skip


def moments(schedule: JobSchedule, days: int) -> set[datetime]:
    found, moment = set(), schedule.next_after(BEGIN - HOUR)
    while moment is not None and moment < BEGIN + timedelta(days=days):
        found.add(moment)
        moment = schedule.next_after(moment)
    return found


def test_each_time_is_a_run_or_was_taken_away_or_is_nothing() -> None:
    rules = spec()
    schedule = build_schedule(rules, CALENDARS)
    plain = build_schedule(ScheduleSpec(expression=rules.expression, timezone=rules.timezone, anchor=BEGIN), {})
    runs, times = moments(schedule, 14), moments(plain, 14)
    assert runs < times
    for hour in range(14 * 24):
        at = BEGIN + hour * HOUR
        found = planned(schedule, rules, at, floor=BEGIN - HOUR)
        assert (found.due_at is not None) == (at in runs)
        assert (found.removed_at == at) == (at in times - runs)
        assert bool(found.removed) == (at in times - runs)
        assert found.following == schedule.next_after(at)
        assert found.previous == max((run for run in runs if run <= at), default=None)


@settings(max_examples=50)
@given(st.sampled_from(Roll), st.integers(1, 3600), st.integers(0, 100))
def test_a_run_is_found_by_its_own_time_and_by_that_of_the_schedule(roll: Roll, jitter: int, number: int) -> None:
    rules = spec(roll, timedelta(seconds=jitter))
    schedule = build_schedule(rules, CALENDARS)
    run = BEGIN
    for _ in range(number + 1):
        run = schedule.next_after(run) or run
    assert planned(schedule, rules, schedule.origin(run).nominal, floor=BEGIN).due_at == run
    assert planned(schedule, rules, run, floor=BEGIN).due_at == run


def test_a_whole_minute_means_the_minute_and_else_the_second_is_meant() -> None:
    assert meant(BEGIN) == (BEGIN, BEGIN + timedelta(minutes=1))
    at = BEGIN + timedelta(seconds=5, milliseconds=200)
    assert meant(at) == (BEGIN + timedelta(seconds=5), BEGIN + timedelta(seconds=6))
    at = BEGIN + timedelta(milliseconds=200)
    assert meant(at) == (BEGIN, BEGIN + timedelta(seconds=1))
