"""Job schedules against every occurrence of some months with every rule applied by hand."""

import dataclasses
import os
from datetime import UTC, date, datetime, timedelta

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from services.scheduler.domain.schedule.calendar import WEEKENDS, DaySet
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.job_schedule import JobSchedule, RemovalCode, Removed, build_schedule
from services.scheduler.domain.schedule.spec import (
    CalendarSpec,
    DstPolicy,
    RepeatedTime,
    Roll,
    ScheduleSpec,
    SkippedTime,
    WindowSpec,
)
from tests.unit.schedule.schedule_oracle import expect

EXAMPLES = int(os.environ.get("CHRONOS_EXAMPLES", "40"))
MICROSECOND = timedelta(microseconds=1)
ANCHOR = datetime(2025, 12, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago"]
EXPRESSIONS = [
    "0 9 * * *", "30 2 * * *", "0,30 1-3 * * *", "0 0 * * *", "45 23 * * 5", "0 12 1 * *", "0 12 L * *", "17 4 * * 0",
    "0 */6 * * *", "15 10 15,16 3,4,10,11 *", "@every 7h", "@every 25h", "0 */2 * * *", "*/40 * * * *",
]  # fmt: skip
WALLS = ["00:00", "01:30", "02:00", "02:30", "03:00", "09:00", "17:00", "22:15", "23:30"]
BEGINS = [datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 25, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)]
SPAN = timedelta(days=45)


@st.composite
def windows(draw: st.DrawFn) -> WindowSpec:
    days = draw(st.sampled_from(["", "", "MON,TUE,WED,THU,FRI", "SAT,SUN", "WED"]))
    first = draw(st.sampled_from(["", "", "2026-03-20", "2026-10-20"]))
    return WindowSpec(
        days=days,
        start=draw(st.sampled_from(["", *WALLS])),
        end=draw(st.sampled_from(["", "24:00", *WALLS])),
        first_date=first,
        last_date=draw(st.sampled_from(["", "", "2026-11-02" if first > "2026-04" else "2026-04-02"])),
        timezone=draw(st.sampled_from(["", "", *ZONES])),
    )


@st.composite
def day_sets(draw: st.DrawFn) -> DaySet:
    first = date(2026, 1, 1)
    days = [first + timedelta(days=draw(st.integers(0, 364))) for _ in range(draw(st.integers(0, 12)))]
    begin = first + timedelta(days=draw(st.integers(50, 330)))
    periods = draw(st.sampled_from([[], [(begin, begin + timedelta(days=draw(st.integers(0, 45))))]]))
    return DaySet(days=days, periods=periods, weekdays=draw(st.sets(st.integers(0, 6), max_size=3)))


@st.composite
def specs(draw: st.DrawFn) -> tuple[ScheduleSpec, dict[str, DaySet], datetime]:
    begin = draw(st.sampled_from(BEGINS))
    moments = st.integers(0, int(SPAN.total_seconds()) // 900).map(lambda n: begin + n * timedelta(minutes=15))
    start, end = draw(st.none() | moments), draw(st.none() | moments)
    assume(start is None or end is None or start < end)
    names = st.lists(st.sampled_from(["weekends", "a", "b"]), unique=True, max_size=2).map(tuple)
    include, exclude = draw(st.one_of(st.just(()), names)), draw(st.one_of(st.just(()), names))
    roll = draw(st.sampled_from(list(Roll))) if include or exclude else Roll.SKIP
    spec = ScheduleSpec(
        expression=draw(st.sampled_from(EXPRESSIONS)),
        timezone=draw(st.sampled_from(ZONES)),
        start=start,
        end=end,
        max_runs=draw(st.sampled_from([0, 0, 0, 1, 5, 40])),
        counts_from=draw(moments),
        dst=DstPolicy(
            skipped=draw(st.sampled_from(list(SkippedTime))), repeated=draw(st.sampled_from(list(RepeatedTime)))
        ),
        jitter=draw(st.sampled_from([timedelta(0), timedelta(minutes=5), timedelta(hours=1), timedelta(hours=24)])),
        active_windows=tuple(draw(st.lists(windows(), max_size=2))),
        blackout_windows=tuple(draw(st.lists(windows(), max_size=2))),
        calendars=CalendarSpec(include=include, exclude=exclude, roll=roll),
        seed="team/job",
        anchor=ANCHOR,
    )
    return spec, {"weekends": WEEKENDS, "a": draw(day_sets()), "b": draw(day_sets())}, begin


def plain(spec: ScheduleSpec) -> JobSchedule:
    bare = ScheduleSpec(
        expression=spec.expression, timezone=spec.timezone, dst=spec.dst, seed=spec.seed, anchor=spec.anchor
    )
    return build_schedule(bare, {})


def fires_of(schedule: JobSchedule, begin: datetime, end: datetime) -> list[datetime]:
    found, moment = [], begin - MICROSECOND
    while (following := schedule.next_after(moment)) is not None and following < end:
        assert following > moment
        found.append(following)
        moment = following
    return found


def removed_of(schedule: JobSchedule, begin: datetime, end: datetime) -> list[Removed]:
    found, moment = [], begin - MICROSECOND
    while (following := schedule.removed_after(moment)) is not None and following.first < end:
        assert following.first > moment
        found.append(following)
        moment = following.first
    return found


@settings(max_examples=EXAMPLES, deadline=None)
@given(specs())
def test_a_job_fires_exactly_when_its_rules_taken_literally_say(
    given_spec: tuple[ScheduleSpec, dict[str, DaySet], datetime],
) -> None:
    spec, calendars, begin = given_spec
    end = begin + SPAN
    expected = expect(spec, plain(spec), calendars, begin, end)
    try:
        schedule = build_schedule(spec, calendars)
    except ScheduleError as error:
        event(f"refused: {error.field}")
        assert expected.fires == []
        return
    event(f"fires: {bool(expected.fires)}, removes: {bool(expected.removed)}")
    assert fires_of(schedule, begin, end) == expected.fires
    for moment in (begin + n * timedelta(hours=53, minutes=7) for n in range(18)):
        fresh = build_schedule(spec, calendars).next_after(moment)
        later = next((fires for fires in expected.fires if fires > moment), None)
        assert fresh == later or (later is None and fresh is not None and fresh >= end)


@settings(max_examples=EXAMPLES, deadline=None)
@given(specs())
def test_what_a_job_does_not_run_is_exactly_what_its_rules_take_away(
    given_spec: tuple[ScheduleSpec, dict[str, DaySet], datetime],
) -> None:
    spec, calendars, begin = given_spec
    end = begin + SPAN
    early, late = begin - timedelta(days=2), end + timedelta(days=2)  # stretches go up to midnight
    expected = expect(spec, plain(spec), calendars, early, late)
    try:
        schedule = build_schedule(spec, calendars)
    except ScheduleError:
        return
    everything = removed_of(schedule, early, end)
    stretches = [stretch for stretch in everything if stretch.code is not RemovalCode.DST]
    assert not {stretch.first for stretch in everything} & set(expected.fires)
    left = [(at, cause) for at, cause in expected.removed if at < end]
    told = list(expected.removed)
    for stretch in stretches:
        assert stretch.is_count_exact
        causes = [cause for at, cause in told if stretch.first <= at <= stretch.last]
        assert len(causes) == stretch.count
        assert len(set(causes)) == 1
        assert causes[0] in (stretch.code, stretch.reason[: len(causes[0])])
        assert not [fires for fires in expected.fires if stretch.first <= fires <= stretch.last]
        left = [(at, cause) for at, cause in left if not stretch.first <= at <= stretch.last]
    assert [(at, cause) for at, cause in left if at >= begin] == []
    for moment in (begin + n * timedelta(hours=53, minutes=7) for n in range(18)):
        later = next((stretch for stretch in everything if stretch.first > moment), None)
        fresh = build_schedule(spec, calendars).removed_after(moment)
        assert fresh == later or (later is None and fresh is not None and fresh.first >= end)


@settings(max_examples=EXAMPLES, deadline=None)
@given(specs(), st.integers(0, 5000))
def test_two_replicas_agree_whatever_they_were_asked_before(
    given_spec: tuple[ScheduleSpec, dict[str, DaySet], datetime], minutes: int
) -> None:
    spec, calendars, begin = given_spec
    spec = dataclasses.replace(spec, jitter=timedelta(hours=3))
    try:
        one, other = build_schedule(spec, calendars), build_schedule(spec, calendars)
    except ScheduleError:
        return
    moment = begin + timedelta(minutes=minutes)
    fires_of(one, begin, begin + timedelta(days=5))
    assert one.next_after(moment) == other.next_after(moment)
