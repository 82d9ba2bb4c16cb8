"""The oracle of schedules: by hand on odd days, against croniter, and against the engine that it will judge."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterBadDateError, croniter
from hypothesis import assume, given
from hypothesis import strategies as st

from services.scheduler.domain.schedule.errors import ScheduleError
from tests.faults.history import SECOND_US, JobRules
from tests.faults.targets import due_times, interval_us
from tests.strategies import MOMENTS, PLAIN_CRON, SECONDS, ZONES
from tests.unit.schedule.asking import occurrences_until, schedule_of


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def due(schedule: str, zone: str, first: str, last: str) -> list[str]:
    """Runs between two wall times of a zone, as wall times with their offsets in hours."""
    bounds = [micros(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))) for text in (first, last)]
    found = due_times(JobRules(schedule=schedule, timezone=zone), *bounds)
    return [f"{datetime.fromtimestamp(at / SECOND_US, ZoneInfo(zone)):%d %H:%M:%S%z}" for at in found]


SPRING = ("Europe/Berlin", "2027-03-28 00:00", "2027-03-28 06:00")
AUTUMN = ("Europe/Berlin", "2027-10-31 00:00", "2027-10-31 06:00")


def test_a_fixed_time_that_the_clocks_skip_runs_at_the_end_of_the_gap_once() -> None:
    assert due("30 2 * * *", *SPRING) == ["28 03:00:00+0200"]
    assert due("0,30 2 * * *", *SPRING) == ["28 03:00:00+0200"]
    assert due("0 30 2 * * *", *SPRING) == ["28 03:00:00+0200"]
    assert due("30 1-4 * * *", *SPRING) == [
        "28 01:30:00+0100",
        "28 03:00:00+0200",
        "28 03:30:00+0200",
        "28 04:30:00+0200",
    ]


def test_a_fixed_time_that_comes_twice_runs_the_first_time() -> None:
    assert due("30 2 * * *", *AUTUMN) == ["31 02:30:00+0200"]


def test_a_schedule_that_follows_elapsed_time_keeps_its_rhythm() -> None:
    assert due("0 * * * *", *SPRING) == [f"28 {hour:02}:00:00+0{1 + (hour > 2)}00" for hour in (0, 1, 3, 4, 5)]
    assert due("0 * * * *", *AUTUMN)[1:5] == [
        "31 01:00:00+0200",
        "31 02:00:00+0200",
        "31 02:00:00+0100",
        "31 03:00:00+0100",
    ]
    assert len(due("*/30 * * * * *", *AUTUMN)) == 7 * 120
    assert len(due("*/30 * * * * *", *SPRING)) == 5 * 120


def test_a_day_that_was_left_out_is_one_run() -> None:
    assert due("0 */6 * * *", "Pacific/Apia", "2011-12-29 12:00", "2011-12-31 07:00") == [
        "29 12:00:00-1000",
        "29 18:00:00-1000",
        "31 00:00:00+1400",
        "31 06:00:00+1400",
    ]
    assert due("0 6 * * *", "Pacific/Apia", "2011-12-29 12:00", "2011-12-31 07:00") == [
        "31 00:00:00+1400",
        "31 06:00:00+1400",
    ]


def test_leap_days_and_years_are_found_fast() -> None:
    began = time.perf_counter()
    found = due("0 12 29 2 *", "UTC", "2096-01-01", "2110-01-01")
    assert found == ["29 12:00:00+0000"] * 3
    assert due("59 59 23 31 12 *", "UTC", "2026-01-01", "2029-01-01") == ["31 23:59:59+0000"] * 3
    assert len(due("@daily", "Europe/Berlin", "2026-01-01", "2031-01-01")) == 365 * 4 + 366
    assert time.perf_counter() - began < 2


def test_either_day_field_counts_unless_one_begins_with_a_star() -> None:
    assert due("0 0 13 * FRI", "UTC", "2026-03-01", "2026-03-21") == [f"{day:02} 00:00:00+0000" for day in (6, 13, 20)]
    assert due("0 0 */2 * FRI", "UTC", "2026-03-01", "2026-03-21") == ["13 00:00:00+0000"]


def test_every_counts_from_the_creation_and_never_before_it() -> None:
    rules = JobRules(schedule="@every 1m30s", created_us=1_000_000_007)
    assert interval_us(rules) == 90_000_000
    assert due_times(rules, 0, 1_200_000_000) == [1_090_000_007, 1_180_000_007]
    assert due_times(rules, 1_180_000_007, 1_270_000_007) == [1_180_000_007]
    assert due_times(rules, 1_180_000_008, 1_270_000_007) == []


def test_once_is_a_wall_time_or_a_moment() -> None:
    assert due("@at 2027-03-28T02:30:00", *SPRING) == ["28 03:00:00+0200"]
    assert due("@at 2027-03-28T02:30:00Z", *SPRING) == ["28 04:30:00+0200"]


@pytest.mark.parametrize("schedule", ["@manual", ""])
def test_jobs_without_times_have_no_targets(schedule: str) -> None:
    assert due_times(JobRules(schedule=schedule), 0, 1 << 50) == []


@pytest.mark.parametrize(
    "schedule", ["H * * * *", "RRULE:FREQ=DAILY", "@every", "@every soon", "61 * * * *", "@every 5m"]
)
def test_what_it_cannot_read_it_refuses(schedule: str) -> None:
    with pytest.raises(ValueError):
        due_times(JobRules(schedule=schedule), 0, 10_000_000)


@given(expression=PLAIN_CRON, start=MOMENTS)
def test_in_utc_it_agrees_with_croniter(expression: str, start: datetime) -> None:
    fields = expression.split()
    assume("/" not in fields[4] and (fields[2] == "*" or fields[4] == "*"))  # where croniter means the same
    oracle = croniter(expression, start - timedelta(microseconds=1), max_years_between_matches=3)
    try:
        expected = [oracle.get_next(datetime) for _ in range(3)]
    except CroniterBadDateError:
        assume(False)
    found = due_times(JobRules(schedule=expression), micros(start), micros(expected[-1]) + 1)
    assert found == [micros(moment) for moment in expected]


CHANGES = [
    ("Europe/Berlin", "2027-03-28T01:00Z"),
    ("Europe/Berlin", "2027-10-31T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("America/Havana", "2026-03-08T05:00Z"),
    ("America/Santiago", "2026-09-06T04:00Z"),
    ("Antarctica/Troll", "2026-03-29T01:00Z"),
    ("Australia/Lord_Howe", "2025-04-05T15:00Z"),
    ("Australia/Lord_Howe", "2025-10-04T15:30Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
]


def agree(expression: str, zone: str, start: datetime) -> None:
    try:
        schedule = schedule_of(expression, zone)
    except ScheduleError:
        assume(False)
    end = start + timedelta(hours=2 if len(expression.split()) == 6 else 30)
    expected = occurrences_until(schedule, start, end)
    rules = JobRules(schedule=expression, timezone=zone)
    assert due_times(rules, micros(start) + 1, micros(end) + 1) == [micros(moment) for moment in expected]


PLAIN = st.one_of(PLAIN_CRON, st.tuples(SECONDS, PLAIN_CRON).map(" ".join))


@given(expression=PLAIN, zone=ZONES, start=MOMENTS)
def test_it_agrees_with_the_engine_that_it_judges(expression: str, zone: str, start: datetime) -> None:
    agree(expression, zone, start)


@given(expression=PLAIN, change=st.sampled_from(CHANGES), hours=st.floats(0, 1))
def test_it_agrees_with_the_engine_when_the_clocks_change(
    expression: str, change: tuple[str, str], hours: float
) -> None:
    reach = timedelta(hours=2 if len(expression.split()) == 6 else 30)
    agree(expression, change[0], datetime.fromisoformat(change[1]) - reach * hours)
