"""Cron against two libraries, where their meaning is ours, and against a scan."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.spec import DstPolicy
from tests.strategies import (
    CRON,
    CRON_WITH_SECONDS,
    DST_POLICIES,
    HASHED_CRON,
    MOMENTS,
    PLAIN_CRON,
    SECONDS,
    ZONES,
)
from tests.unit.schedule.asking import DEFAULT, occurrences, schedule_of
from tests.unit.schedule.scanning import Scanner


def ours(expression: str, zone: str, start: datetime, count: int, dst: DstPolicy = DEFAULT) -> list[datetime]:
    try:
        schedule = schedule_of(expression, zone, dst=dst)
    except ScheduleError as error:
        assume("never happens" not in str(error))
        raise
    return occurrences(schedule, start, count)


def refusal(expression: str, zone: str) -> ScheduleError | None:
    try:
        schedule_of(expression, zone)
    except ScheduleError as error:
        return error
    return None


@given(expression=PLAIN_CRON, start=MOMENTS)
def test_in_utc_it_agrees_with_croniter(expression: str, start: datetime) -> None:
    fields = expression.split()
    assume(not re.search(r"(^|,)[^*-]+/", fields[4]))  # croniter ends 5/2 with Saturday: it knows no 7 there
    assume(
        not Scanner(expression).covers_a_day_field() or "*" in (fields[2], fields[4])
    )  # croniter reads 0-6 as *, also for "either day field"
    day_and = fields[2].startswith("*") or fields[4].startswith("*")
    found = ours(expression, "UTC", start, 3)
    oracle = croniter(expression, start, day_or=not day_and, max_years_between_matches=60)
    assert found == [oracle.get_next(datetime) for _ in range(3)]


@given(expression=st.tuples(SECONDS, PLAIN_CRON).map(" ".join), start=MOMENTS)
def test_with_seconds_it_agrees_with_cronsim(expression: str, start: datetime) -> None:
    found = ours(expression, "UTC", start, 3)
    oracle = CronSim(expression, start)
    assert found == [next(oracle) for _ in range(3)]


def is_ambiguous(moment: datetime) -> bool:
    return moment.utcoffset() != moment.replace(fold=1 - moment.fold).utcoffset()


CRONSIM_ZONES = ["America/New_York", "Antarctica/Troll", "Europe/Berlin", "Europe/London", "UTC"]
"""Where cronsim reads wildcards as Debian does. In others it returns midnights that the clocks skip, and walks on in
whole hours after a shift of half an hour, so that it misses 05:00."""


@given(expression=PLAIN_CRON, zone=ZONES, start=MOMENTS)
def test_in_zones_it_agrees_with_cronsim(expression: str, zone: str, start: datetime) -> None:
    assume(not Scanner(expression).is_elapsed or zone in CRONSIM_ZONES)
    local = start.replace(second=0, microsecond=0).astimezone(ZoneInfo(zone))
    assume(not is_ambiguous(local))  # cronsim forgets which of the two hours it began in
    found = ours(expression, zone, start.replace(second=0, microsecond=0), 4)
    oracle = CronSim(expression, local)
    assert found == [next(oracle).astimezone(UTC) for _ in range(4)]


@given(expression=CRON_WITH_SECONDS, zone=ZONES, dst=DST_POLICIES, start=MOMENTS, part=st.floats(0, 1))
def test_occurrences_rise_and_do_not_depend_on_where_the_search_starts(
    expression: str, zone: str, dst: DstPolicy, start: datetime, part: float
) -> None:
    found = ours(expression, zone, start, 6, dst=dst)
    assert len(found) == 6
    schedule, before = schedule_of(expression, zone, dst=dst), start
    for moment in found:
        assert moment > before
        assert moment.tzinfo is UTC
        between = min(before + (moment - before) * part, moment - timedelta(microseconds=1))
        assert schedule.next_after(between) == moment
        before = moment


@given(expression=CRON_WITH_SECONDS, start=MOMENTS)
def test_between_two_occurrences_lies_no_day_that_a_scan_would_find(expression: str, start: datetime) -> None:
    first, second = ours(expression, "UTC", start, 2)
    scanner = Scanner(expression)
    assert scanner.has(first.replace(tzinfo=None))
    assert scanner.has(second.replace(tzinfo=None))
    for moment, limit in ((start, first), (first, second)):
        day, last = moment.date() + timedelta(days=1), limit.date()
        while day < last:
            assert not scanner.has_day(day)
            day += timedelta(days=1)


@given(expression=CRON)
def test_what_is_said_never_to_happen_never_does(expression: str) -> None:
    error = refusal(expression, "UTC")
    if error is not None:
        assert "never happens" in str(error)
        scanner = Scanner(expression)
        first = datetime(2000, 1, 1, tzinfo=UTC).date()
        assert not any(scanner.has_day(first + timedelta(days=n)) for n in range(41 * 366))


@given(expression=HASHED_CRON, seed=st.text(max_size=20), start=MOMENTS)
def test_hashed_schedules_happen_and_stay_the_same(expression: str, seed: str, start: datetime) -> None:
    schedule = schedule_of(expression, seed=seed)
    found = occurrences(schedule, start, 3)
    assert len(found) == 3
    assert occurrences(schedule_of(expression, seed=seed), start, 3) == found


@given(text=st.text(alphabet="0123456789*/,-?LW#H()@ MONFRIJA\té", max_size=30), timezone=ZONES)
def test_any_text_is_either_a_schedule_or_refused_with_its_place(text: str, timezone: str) -> None:
    error = refusal(text, timezone)
    if error is not None:
        assert error.field == "schedule"
        assert 0 <= error.position <= len(text)
        assert text[error.position :].startswith(error.part)
        assert error.example
        schedule_of(error.example)
    else:
        assert schedule_of(text, timezone).next_after(datetime(2026, 1, 1, tzinfo=UTC)) is not None
