"""Cron in zones against a scan of every minute that shares no code with it."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.spec import DstPolicy
from tests.strategies import CRON, DAILY_CRON, DST_POLICIES, MOMENTS, NEAR, ODD_ZONES, ZONES
from tests.unit.schedule.asking import occurrences_until, policy, schedule_of
from tests.unit.schedule.scanning import scan


@cache
def changes(zone: str) -> list[datetime]:
    """The hours from 1975 to 2060 in which a zone's clocks change, found by looking at each hour of changed days."""
    found, tz = [], ZoneInfo(zone)
    at, end = datetime(1975, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC)
    offset = at.astimezone(tz).utcoffset()
    while at < end:
        before, offset = offset, (at + timedelta(days=1)).astimezone(tz).utcoffset()
        if offset != before:
            hours = (at + timedelta(hours=n) for n in range(1, 25))
            found.append(next(hour for hour in hours if hour.astimezone(tz).utcoffset() != before))
        at += timedelta(days=1)
    return found or [datetime(2026, 3, 29, 1, tzinfo=UTC)]


def check(expression: str, zone: str, dst: DstPolicy, start: datetime, span: timedelta) -> None:
    try:
        schedule = schedule_of(expression, zone, dst=dst)
    except ScheduleError as error:
        assume("never happens" not in str(error))
        raise
    found = occurrences_until(schedule, start, start + span)
    assert found == scan(expression, ZoneInfo(zone), start, start + span, skipped=dst.skipped, repeated=dst.repeated)


@given(expression=CRON | DAILY_CRON, zone=ZONES, dst=DST_POLICIES, index=st.integers(0), near=NEAR)
def test_around_a_change_of_the_clocks_nothing_is_left_out_or_added(
    expression: str, zone: str, dst: DstPolicy, index: int, near: timedelta
) -> None:
    change = changes(zone)[index % len(changes(zone))]
    check(expression, zone, dst, change + near - timedelta(hours=24), timedelta(hours=48))


@given(expression=CRON, zone=ZONES, dst=DST_POLICIES, start=MOMENTS)
def test_in_any_week_nothing_is_left_out_or_added(expression: str, zone: str, dst: DstPolicy, start: datetime) -> None:
    check(expression, zone, dst, start, timedelta(days=4))


WHOLE_YEARS = [
    ("Europe/Berlin", 2026),
    ("America/New_York", 2026),
    ("Australia/Lord_Howe", 2025),
    ("Antarctica/Troll", 2026),
    ("Pacific/Apia", 2011),
    ("Pacific/Kwajalein", 1993),
    ("Africa/Casablanca", 2026),
    ("America/Caracas", 2007),
    ("Asia/Pyongyang", 2018),
    ("Asia/Gaza", 2011),
    ("America/Havana", 2026),
    ("Europe/London", 2041),
]
WHOLE_YEAR_EXPRESSIONS = [
    ("30 2 * * *", policy()),
    ("0,15,59 0-3 * * *", policy("before", "last")),
    ("30 0-23 * * *", policy("skip", "both")),
    ("0 0 L,15W * FRI", policy()),
]


@pytest.mark.parametrize(("zone", "year"), WHOLE_YEARS)
@pytest.mark.parametrize(("expression", "dst"), WHOLE_YEAR_EXPRESSIONS)
def test_fixed_times_hold_through_a_whole_year(expression: str, dst: DstPolicy, zone: str, year: int) -> None:
    check(expression, zone, dst, datetime(year, 1, 1, tzinfo=UTC), timedelta(days=366))


@cache
def minutes(zone: str, year: int) -> list[tuple[datetime, datetime]]:
    start, tz = datetime(year, 1, 1, tzinfo=UTC), ZoneInfo(zone)
    moments = (start + timedelta(minutes=n) for n in range(1, 365 * 24 * 60))
    return [(at, at.astimezone(tz)) for at in moments]


@pytest.mark.parametrize(("zone", "year"), [WHOLE_YEARS[2], WHOLE_YEARS[4]])
def test_elapsed_times_hold_through_a_whole_year(zone: str, year: int) -> None:
    schedule = schedule_of("*/20 1-2,23 * * *", zone)
    expected = [at for at, wall in minutes(zone, year) if wall.minute % 20 == 0 and wall.hour in {1, 2, 23}]
    start = datetime(year, 1, 1, tzinfo=UTC)
    assert occurrences_until(schedule, start, start + timedelta(minutes=365 * 24 * 60 - 1)) == expected


def test_every_odd_zone_has_changes_to_look_at() -> None:
    assert [zone for zone in ODD_ZONES if len(changes(zone)) < 2] == ["Asia/Kathmandu", "Pacific/Kwajalein", "UTC"]
