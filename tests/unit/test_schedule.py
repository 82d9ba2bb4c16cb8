"""Schedules against hand-written vectors, a brute-force scan and croniter."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.parse import parse_schedule

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)


def occurrences(expression: str, timezone: str, start: datetime, count: int) -> list[datetime]:
    schedule = parse_schedule(expression, timezone, anchor=ANCHOR)
    found, moment = [], start
    for _ in range(count):
        following = schedule.next_after(moment)
        assert following is not None
        found.append(following)
        moment = following
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/15 * * * *", ["2026-03-01T00:15", "2026-03-01T00:30"]),
        ("30 9 * * MON-FRI", ["2026-03-02T09:30", "2026-03-03T09:30"]),
        ("0 0 1,15 * *", ["2026-03-15T00:00", "2026-04-01T00:00"]),
        ("0 0 13 * FRI", ["2026-03-06T00:00", "2026-03-13T00:00", "2026-03-20T00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 12 * jan,jul sun", ["2026-07-05T12:00", "2026-07-12T12:00"]),
        ("0 0 * * 7", ["2026-03-08T00:00", "2026-03-15T00:00"]),
        ("@hourly", ["2026-03-01T01:00", "2026-03-01T02:00"]),
        ("@daily", ["2026-03-02T00:00"]),
        ("@weekly", ["2026-03-08T00:00"]),
        ("@monthly", ["2026-04-01T00:00"]),
        ("@YEARLY", ["2027-01-01T00:00"]),
        ("*/20 * * * * *", ["2026-03-01T00:00:20", "2026-03-01T00:00:40", "2026-03-01T00:01:00"]),
    ],
)
def test_an_expression_means_these_moments(expression: str, expected: list[str]) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in expected]
    assert occurrences(expression, "", start, len(expected)) == moments


def test_a_time_that_daylight_saving_skips_runs_right_after_the_gap() -> None:
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    first, second = occurrences("30 2 * * *", "Europe/Berlin", start, 2)
    assert first == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert second == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


def test_a_time_that_daylight_saving_repeats_runs_once() -> None:
    start = datetime(2026, 10, 24, 12, tzinfo=UTC)
    first, second = occurrences("30 2 * * *", "Europe/Berlin", start, 2)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert second == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_a_wildcard_hour_runs_through_the_repeated_hour() -> None:
    start = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    found = occurrences("*/30 * * * *", "Europe/Berlin", start, 6)
    assert found == [start + timedelta(minutes=30 * n) for n in range(1, 7)]


def test_an_interval_counts_from_its_anchor_whenever_it_is_asked() -> None:
    schedule = parse_schedule("@every 90s", "", anchor=ANCHOR)
    assert schedule.next_after(ANCHOR) == ANCHOR + timedelta(seconds=90)
    assert schedule.next_after(ANCHOR + timedelta(seconds=91)) == ANCHOR + timedelta(seconds=180)
    assert schedule.next_after(ANCHOR - timedelta(days=1)) == ANCHOR + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("", "has 1 fields"),
        ("* * *", "has 3 fields"),
        ("61 * * * *", 'minute "61"'),
        ("* 24 * * *", 'hour "24"'),
        ("* * 0 * *", 'day-of-month "0"'),
        ("* * * 13 *", 'month "13"'),
        ("* * * * 8", 'day-of-week "8"'),
        ("* * * * FOO", 'day-of-week "FOO"'),
        ("MON * * * *", 'minute "MON"'),
        ("* * * SUN *", 'month "SUN"'),
        ("0 0 30 2 *", "never happens"),
        ("0 0 31 4,6 *", "never happens"),
        ("*/0 * * * *", "minute"),
        ("5-1 * * * *", "minute"),
        ("70 * * * * *", 'second "70"'),
        ("@fortnightly", "no known macro"),
        ("@every", "not complete"),
        ("@every 5 minutes", "not complete"),
        ("@every 5", "not a duration"),
        ("@every 10ms", "out of range"),
        ("@every 9999w", "out of range"),
    ],
)
def test_an_expression_that_means_nothing_is_refused_with_a_hint(expression: str, hint: str) -> None:
    with pytest.raises(ScheduleError, match=hint):
        parse_schedule(expression, "", anchor=ANCHOR)


@pytest.mark.parametrize("name", ["Mars/Olympus", "europe/berlin ", "../etc/passwd", "UTC+25"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ScheduleError, match="no IANA time zone"):
        parse_schedule("* * * * *", name, anchor=ANCHOR)


FIELD = st.sampled_from(["*", "*/7", "*/10", "3", "1-4", "2,5", "0"])
MINUTES = st.sampled_from(["*", "*/7", "0", "59", "10-20", "5,35"])
DAYS = st.sampled_from(["*", "1", "31", "10-15", "5,20"])
MONTHS = st.sampled_from(["*", "2,3", "1-6", "JAN,DEC"])
WEEKDAYS = st.sampled_from(["*", "MON", "1-5", "0,6", "7"])
EXPRESSIONS = st.tuples(MINUTES, FIELD, DAYS, MONTHS, WEEKDAYS).map(" ".join)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@given(expression=EXPRESSIONS, moment=MOMENTS)
@settings(max_examples=300, deadline=None)
def test_utc_schedules_agree_with_croniter(expression: str, moment: datetime) -> None:
    fields = expression.split()
    day_and = fields[2].startswith("*") or fields[4].startswith("*")
    oracle = croniter(expression, moment, day_or=not day_and)
    assert parse_schedule(expression, "", anchor=ANCHOR).next_after(moment) == oracle.get_next(datetime)


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])


@given(expression=EXPRESSIONS, zone=ZONES, moment=MOMENTS)
@settings(max_examples=300, deadline=None)
def test_occurrences_rise_and_do_not_depend_on_where_the_search_starts(
    expression: str, zone: str, moment: datetime
) -> None:
    schedule = parse_schedule(expression, zone, anchor=ANCHOR)
    first = schedule.next_after(moment)
    assert first is not None
    assert first > moment
    between = moment + (first - moment) / 2
    assert schedule.next_after(between) == first
    second = schedule.next_after(first)
    assert second is not None
    assert second > first


@given(moment=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)), hour=st.sampled_from(["*", "*/3", "1-5"]))
@settings(max_examples=100, deadline=None)
def test_nothing_that_a_scan_of_a_day_finds_is_left_out(moment: datetime, hour: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = moment.replace(tzinfo=UTC, second=0, microsecond=0)
    schedule = parse_schedule(f"*/30 {hour} * * *", "Europe/Berlin", anchor=ANCHOR)
    hours = {"*": set(range(24)), "*/3": set(range(0, 24, 3)), "1-5": set(range(1, 6))}[hour]
    minutes = [start + timedelta(minutes=n) for n in range(1, 24 * 60)]
    scanned = [m for m in minutes if m.astimezone(zone).minute % 30 == 0 and m.astimezone(zone).hour in hours]
    found, at = [], start
    while (following := schedule.next_after(at)) is not None and following <= minutes[-1]:
        found.append(following)
        at = following
    assert found == scanned
