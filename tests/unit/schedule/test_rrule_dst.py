"""Rules in zones whose clocks change, against maps of wall times that other libraries make."""

import os
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil import tz  # type: ignore[import-untyped]
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.schedule.rrule import parse_rrule
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import DstPolicy, RepeatedTime, SkippedTime
from tests.strategies import DST_POLICIES
from tests.unit.schedule.rrule_strategies import WEEKDAYS

EXAMPLES = int(os.getenv("CHRONOS_EXAMPLES", "60"))
SECOND = timedelta(seconds=1)
BERLIN = ZoneInfo("Europe/Berlin")
GAP_DAY = datetime(2026, 3, 28, 12, tzinfo=UTC)
REPEAT_DAY = datetime(2026, 10, 24, 12, tzinfo=UTC)
CHANGES = {
    "Europe/Berlin": [datetime(2026, 3, 29, 1), datetime(2026, 10, 25, 1)],
    "America/New_York": [datetime(2026, 3, 8, 7), datetime(2026, 11, 1, 6)],
    "Australia/Lord_Howe": [datetime(2026, 4, 4, 15), datetime(2026, 10, 3, 15, 30)],
    "Pacific/Apia": [datetime(2011, 12, 30, 10)],
    "America/Havana": [datetime(2026, 3, 8, 5), datetime(2026, 11, 1, 5)],
    "Asia/Pyongyang": [datetime(2015, 8, 14, 15), datetime(2018, 5, 4, 15)],
    "Asia/Kathmandu": [datetime(1985, 12, 31, 18, 30)],
}


def parse(text: str, zone: ZoneInfo = BERLIN, dst: DstPolicy = DstPolicy()) -> Schedule:  # noqa: B008
    return parse_rrule(text, zone, dst=dst, anchor=datetime(2026, 1, 1, tzinfo=UTC))


def between(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    found = []
    while (following := schedule.next_after(after)) is not None and following <= until:
        found.append(following)
        after = following
    return found


def times(schedule: Schedule, after: datetime, days: int) -> list[str]:
    return [f"{each:%d %H:%M:%S}" for each in between(schedule, after, after + timedelta(days=days))]


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [
        (SkippedTime.NEXT_VALID, ["29 01:00:00", "30 00:15:00", "30 00:30:00"]),
        (SkippedTime.BEFORE, ["29 00:59:59", "30 00:15:00", "30 00:30:00"]),
        (SkippedTime.SKIP, ["30 00:15:00", "30 00:30:00"]),
    ],
)
def test_skipped_times_follow_the_policy_and_never_double(skipped: SkippedTime, expected: list[str]) -> None:
    schedule = parse("RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=15,30;BYSECOND=0", dst=DstPolicy(skipped=skipped))
    assert times(schedule, GAP_DAY, 2)[: len(expected)] == expected


@pytest.mark.parametrize(
    ("repeated", "expected"),
    [
        (RepeatedTime.FIRST, ["25 00:15:00", "25 00:45:00"]),
        (RepeatedTime.LAST, ["25 01:15:00", "25 01:45:00"]),
        (RepeatedTime.BOTH, ["25 00:15:00", "25 00:45:00", "25 01:15:00", "25 01:45:00"]),
    ],
)
def test_repeated_times_follow_the_policy_and_rise(repeated: RepeatedTime, expected: list[str]) -> None:
    schedule = parse("RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=15,45;BYSECOND=0", dst=DstPolicy(repeated=repeated))
    assert times(schedule, REPEAT_DAY, 1) == expected


def test_a_moved_occurrence_says_why_and_the_others_say_nothing() -> None:
    schedule = parse("RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0")
    first, second = between(schedule, GAP_DAY, GAP_DAY + timedelta(days=2))
    assert "2026-03-29 02:30:00 does not exist in Europe/Berlin" in schedule.shift_note(first)
    assert schedule.shift_note(second) == ""
    assert schedule.lost_after(GAP_DAY) is None


def test_an_occurrence_moved_before_the_gap_says_why_too() -> None:
    schedule = parse("RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0", dst=DstPolicy(skipped=SkippedTime.BEFORE))
    first, second = between(schedule, GAP_DAY, GAP_DAY + timedelta(days=2))
    assert "runs at 2026-03-29 01:59:59 instead" in schedule.shift_note(first)
    assert schedule.shift_note(second) == ""


def test_an_occurrence_at_its_own_time_right_after_a_gap_has_no_note() -> None:
    schedule = parse("RRULE:FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0;BYSECOND=0")
    first = between(schedule, GAP_DAY, GAP_DAY + timedelta(days=1))[0]
    assert first == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert schedule.shift_note(first) == ""


def test_an_occurrence_that_the_gap_takes_is_known_as_lost() -> None:
    schedule = parse("RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30", dst=DstPolicy(skipped=SkippedTime.SKIP))
    lost = schedule.lost_after(datetime(2026, 1, 1, tzinfo=UTC))
    assert lost is not None
    assert lost.at == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert "2026-03-29 02:30:00 does not exist" in lost.note
    following = schedule.lost_after(lost.at)
    assert following is not None
    assert following.at == datetime(2027, 3, 28, 1, tzinfo=UTC)


def test_what_exdate_takes_away_is_not_lost_to_the_clocks() -> None:
    text = "RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0 EXDATE:20260329T023000"
    lost = parse(text, dst=DstPolicy(skipped=SkippedTime.SKIP)).lost_after(GAP_DAY)
    assert lost is not None
    assert lost.at.year == 2027
    assert times(parse(text), GAP_DAY, 2) == ["30 00:30:00"]


def test_hourly_rules_count_elapsed_time() -> None:
    schedule = parse("DTSTART:20260328T230000 RRULE:FREQ=HOURLY;INTERVAL=2")
    assert times(schedule, GAP_DAY, 1) == [f"{day} {hour:02}:00:00" for day, hour in
                                           [(28, 22), *((29, hour) for hour in range(0, 14, 2))]][:8]  # fmt: skip


def test_by_parts_of_a_sub_daily_rule_look_at_the_wall_clock() -> None:
    schedule = parse("RRULE:FREQ=MINUTELY;BYHOUR=2;BYMINUTE=30")
    assert times(schedule, REPEAT_DAY, 1) == ["25 00:30:00", "25 01:30:00"]
    assert times(schedule, GAP_DAY, 1) == []


def test_a_start_in_another_zone_makes_the_rule_run_there() -> None:
    schedule = parse("DTSTART;TZID=America/New_York:20260105T090000 RRULE:FREQ=DAILY")
    assert times(schedule, datetime(2026, 3, 7, tzinfo=UTC), 2) == ["07 14:00:00", "08 13:00:00"]


def test_until_in_utc_is_an_instant_even_where_the_clocks_repeat_a_time() -> None:
    text = "DTSTART:20261024T021500 RRULE:FREQ=DAILY;BYMINUTE=15,45;UNTIL=20261025T004500Z"
    both = DstPolicy(repeated=RepeatedTime.BOTH)
    assert times(parse(text, dst=both), REPEAT_DAY, 3) == ["25 00:15:00", "25 00:45:00"]


def expected_instants(wall: datetime, zone: str, dst: DstPolicy) -> set[datetime]:
    """What a wall time becomes, by python-dateutil's reading of the zone."""
    known = tz.gettz(zone)
    assert known is not None
    aware = wall.replace(tzinfo=known)
    if not tz.datetime_exists(aware):
        if dst.skipped is SkippedTime.SKIP:
            return set()
        jump = wall.replace(tzinfo=known)
        while not tz.datetime_exists(jump):
            jump += timedelta(minutes=15 - jump.minute % 15, seconds=-jump.second)
        instant = jump.astimezone(UTC)
        return {instant - SECOND if dst.skipped is SkippedTime.BEFORE else instant}
    if not tz.datetime_ambiguous(aware):
        return {aware.astimezone(UTC)}
    first, last = aware.replace(fold=0).astimezone(UTC), aware.replace(fold=1).astimezone(UTC)
    return {RepeatedTime.FIRST: {first}, RepeatedTime.LAST: {last}, RepeatedTime.BOTH: {first, last}}[dst.repeated]


ROUND = st.sampled_from(sorted(CHANGES)).flatmap(lambda zone: st.tuples(st.just(zone), st.sampled_from(CHANGES[zone])))
HOURS = st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True)
MINUTES = st.lists(st.integers(0, 59), min_size=1, max_size=3, unique=True)


@given(ROUND, HOURS, MINUTES, st.integers(1, 3), DST_POLICIES, st.integers(0, 96))
@settings(max_examples=EXAMPLES, deadline=None)
def test_wall_times_become_the_instants_that_another_library_finds(
    place: tuple[str, datetime], hours: list[int], minutes: list[int], interval: int, dst: DstPolicy, shift: int
) -> None:
    zone, change = place
    start = (change - timedelta(days=3)).replace(minute=0)
    rule = f"FREQ=DAILY;INTERVAL={interval};BYHOUR={','.join(map(str, hours))};BYMINUTE={','.join(map(str, minutes))}"
    schedule = parse(f"DTSTART:{start:%Y%m%dT%H%M%S} RRULE:{rule}", ZoneInfo(zone), dst)
    walls = rrulestr(f"RRULE:{rule}", dtstart=start).between(start, start + timedelta(days=9), inc=True)
    expected = sorted(set().union(*(expected_instants(wall, zone, dst) for wall in walls)))
    after = change.replace(tzinfo=UTC) - timedelta(hours=24) + timedelta(minutes=30 * shift)
    until = change.replace(tzinfo=UTC) + timedelta(days=3)
    assert between(schedule, after, until) == [each for each in expected if after < each <= until]


@given(ROUND, st.integers(1, 90), st.lists(st.integers(0, 23), max_size=3), st.lists(st.integers(0, 59), max_size=3))
@settings(max_examples=EXAMPLES, deadline=None)
def test_elapsed_rules_are_what_a_scan_of_every_minute_finds(
    place: tuple[str, datetime], interval: int, hours: list[int], minutes: list[int]
) -> None:
    name, change = place
    zone = ZoneInfo(name)
    begin = (change - timedelta(hours=30)).replace(tzinfo=UTC)
    parts = [f"BYHOUR={','.join(map(str, hours))}"] * bool(hours) + [f"BYMINUTE={','.join(map(str, minutes))}"] * bool(
        minutes
    )
    text = f"DTSTART:{begin.astimezone(zone):%Y%m%dT%H%M%S} RRULE:" + ";".join(
        [f"FREQ=MINUTELY;INTERVAL={interval}", *parts]
    )
    scanned = []
    for step in range(0, 60 * 72, interval):
        instant = begin + timedelta(minutes=step)
        wall = instant.astimezone(zone)
        if (not hours or wall.hour in hours) and (not minutes or wall.minute in minutes):
            scanned.append(instant)
    if not scanned:
        return
    assert between(parse(text, zone), begin - SECOND, begin + timedelta(hours=72) - SECOND) == scanned


@given(
    ROUND,
    st.integers(1, 5),
    st.lists(st.integers(0, 23), max_size=3),
    st.lists(st.integers(0, 59), min_size=1, max_size=3),
    st.lists(st.integers(0, 6), max_size=3),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_hours_that_the_clocks_cut_lose_and_double_no_minute(
    place: tuple[str, datetime], interval: int, hours: list[int], minutes: list[int], weekdays: list[int]
) -> None:
    name, change = place
    zone = ZoneInfo(name)
    begin = (change - timedelta(hours=30)).replace(tzinfo=UTC)
    rule = [f"FREQ=HOURLY;INTERVAL={interval};BYMINUTE={','.join(map(str, minutes))}"]
    rule += [f"BYHOUR={','.join(map(str, hours))}"] if hours else []
    rule += [f"BYDAY={','.join(WEEKDAYS[day] for day in weekdays)}"] if weekdays else []
    first_hour = begin - timedelta(minutes=begin.astimezone(zone).minute)
    scanned = []
    for step in range(60 * 72):
        instant = begin + timedelta(minutes=step)
        wall = instant.astimezone(zone)
        is_meant = (
            wall.minute in minutes and wall.hour in (hours or range(24)) and wall.weekday() in (weekdays or range(7))
        )
        if is_meant and (instant - first_hour) // timedelta(hours=1) % interval == 0:
            scanned.append(instant)
    if not scanned:
        return
    schedule = parse(f"DTSTART:{begin.astimezone(zone):%Y%m%dT%H%M%S} RRULE:{';'.join(rule)}", zone)
    assert between(schedule, begin - SECOND, begin + timedelta(hours=72) - SECOND) == scanned
