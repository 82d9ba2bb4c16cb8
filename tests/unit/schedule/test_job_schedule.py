"""All rules of a job together, on days picked by hand."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.scheduler.domain.schedule.calendar import WEEKENDS, DaySet, day_set
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.job_schedule import JobSchedule, RemovalCode, build_schedule, problems_of
from services.scheduler.domain.schedule.parse import parse_schedule
from services.scheduler.domain.schedule.preview import Preview, preview
from services.scheduler.domain.schedule.spec import (
    CalendarSpec,
    DstPolicy,
    Roll,
    ScheduleSpec,
    SkippedTime,
    WindowSpec,
)

BERLIN = ZoneInfo("Europe/Berlin")
ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
CALENDARS = {
    "weekends": WEEKENDS,
    "holidays": day_set(["12-25", "12-26", "2026-12-28"], "", []),
    "long-break": day_set(["2026-07-01/2026-09-30"], "", []),
    "nothing": DaySet(),
}
SKIP = DstPolicy(skipped=SkippedTime.SKIP)
XMAS = CalendarSpec(exclude=("holidays", "weekends"))


def spec(expression: str, **fields: object) -> ScheduleSpec:
    settings: dict[str, object] = {"timezone": "Europe/Berlin", "seed": "team/a", "anchor": ANCHOR, **fields}
    return ScheduleSpec(expression=expression, **settings)  # type: ignore[arg-type]


def build(expression: str, **fields: object) -> JobSchedule:
    return build_schedule(spec(expression, **fields), CALENDARS)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


def fires(schedule: JobSchedule, after: str, count: int) -> list[str]:
    found, moment = [], local(after)
    for _ in range(count):
        following = schedule.next_after(moment)
        if following is None:
            break
        moment = following
        found.append(f"{moment.astimezone(BERLIN):%m-%d %H:%M}")
    return found


def told(entries: list[Preview]) -> list[str]:
    return [
        f"{'-' if entry.is_removed else '+'} {(entry.time or entry.nominal).astimezone(BERLIN):%m-%d %H:%M} "
        f"{'; '.join(entry.notes)}".strip()
        for entry in entries
    ]


def test_a_plain_job_is_its_schedule_and_removes_nothing() -> None:
    schedule = build("0 9 * * *")
    assert schedule.can_remove is False
    assert schedule.removed_after(ANCHOR) is None
    plain = parse_schedule("0 9 * * *", "Europe/Berlin", anchor=ANCHOR)
    assert schedule._fires == plain.next_after


def test_start_counts_and_end_does_not() -> None:
    schedule = build("0 9 * * *", start=local("2026-06-02T09:00"), end=local("2026-06-04T09:00"))
    assert fires(schedule, "2026-01-01T00:00", 9) == ["06-02 09:00", "06-03 09:00"]


@pytest.mark.parametrize(
    ("roll", "expected"),
    [
        (Roll.SKIP, ["12-24 09:00", "12-29 09:00", "12-30 09:00"]),
        (Roll.NEXT_BUSINESS_DAY, ["12-24 09:00", "12-29 09:00", "12-30 09:00"]),
        (Roll.PREVIOUS_BUSINESS_DAY, ["12-24 09:00", "12-29 09:00", "12-30 09:00"]),
    ],
)
def test_a_run_that_rolls_onto_another_one_merges_with_it(roll: Roll, expected: list[str]) -> None:
    rule = CalendarSpec(exclude=XMAS.exclude, roll=roll)
    assert fires(build("0 9 * * *", calendars=rule), "2026-12-24T00:00", 3) == expected


def test_a_run_rolls_to_the_same_wall_time_of_the_next_or_the_previous_allowed_day() -> None:
    for roll, expected in ((Roll.NEXT_BUSINESS_DAY, "12-29 09:00"), (Roll.PREVIOUS_BUSINESS_DAY, "12-24 09:00")):
        rule = CalendarSpec(exclude=XMAS.exclude, roll=roll)
        assert fires(build("0 9 25 12 *", calendars=rule), "2026-12-01T00:00", 1) == [expected]


def test_nothing_rolls_farther_than_31_days() -> None:
    rule = CalendarSpec(exclude=("long-break",), roll=Roll.NEXT_BUSINESS_DAY)
    schedule = build("0 9 1,15 * *", calendars=rule)
    assert fires(schedule, "2026-06-20T00:00", 3) == ["10-01 09:00", "10-15 09:00", "11-01 09:00"]
    first = schedule.removed_after(local("2026-06-20T00:00"))
    assert first is not None
    assert first.first == local("2026-07-01T09:00")
    assert "no allowed day follows within 31 days" in first.reason
    removed, moment = [], local("2026-06-20T00:00")
    while (following := schedule.removed_after(moment)) is not None:
        moment = following.first
        removed.append(f"{moment.astimezone(BERLIN):%m-%d}")
    assert removed == ["07-01", "07-15", "08-01", "08-15"]  # the 31st day after 1 September is 2 October


def test_a_roll_into_the_gap_of_the_clocks_runs_at_the_jump() -> None:
    rule = CalendarSpec(exclude=("day-before",), roll=Roll.NEXT_BUSINESS_DAY)
    days = {"day-before": day_set(["2026-03-28"], "", [])}
    schedule = build_schedule(spec("30 2 28 3 *", calendars=rule), days)
    assert schedule.next_after(ANCHOR) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_run_does_not_roll_past_the_end() -> None:
    rule = CalendarSpec(exclude=("weekends",), roll=Roll.NEXT_BUSINESS_DAY)
    schedule = build("0 9 * * *", calendars=rule, end=local("2026-06-07T00:00"))  # a Sunday
    assert fires(schedule, "2026-06-04T12:00", 5) == ["06-05 09:00"]
    removed = schedule.removed_after(local("2026-06-05T12:00"))
    assert removed is not None
    assert (removed.first, removed.code) == (local("2026-06-06T09:00"), RemovalCode.CALENDAR)
    assert "out of start_time and end_time" in removed.reason


def test_removed_runs_are_told_by_day_and_cause_whatever_the_moment() -> None:
    schedule = build("*/10 * * * *", calendars=XMAS, blackout_windows=(WindowSpec(start="22:00", end="02:00"),))
    evening = schedule.removed_after(local("2026-12-23T12:00"))
    assert evening is not None
    assert (evening.first, evening.last, evening.count) == (local("2026-12-23T22:00"), local("2026-12-23T23:50"), 12)
    assert evening.reason == "inside blackout window 0 (22:00 to 02:00)"
    assert schedule.removed_after(local("2026-12-23T22:00")) == schedule.removed_after(local("2026-12-23T23:59"))
    christmas = schedule.removed_after(local("2026-12-24T23:00"))
    assert christmas is not None
    assert (christmas.first, christmas.count) == (local("2026-12-25T00:00"), 144)
    assert christmas.reason == "calendar holidays excludes 2026-12-25"
    assert schedule.removed_after(evening.first, before=local("2026-12-23T23:59")) is None


def test_more_than_a_thousand_are_not_counted() -> None:
    removed = build("* * * * * *", calendars=XMAS).removed_after(local("2026-12-24T23:00"))
    assert removed is not None
    assert (removed.count, removed.is_count_exact) == (1000, False)
    assert removed.last == local("2026-12-25T23:59:59")


def test_a_wall_time_that_the_clocks_skip_is_told_when_it_does_not_run() -> None:
    schedule = build("30 2 * * *", dst=SKIP)
    assert fires(schedule, "2026-03-28T00:00", 2) == ["03-28 02:30", "03-30 02:30"]
    lost = schedule.removed_after(local("2026-03-28T12:00"))
    assert lost is not None
    assert (lost.first, lost.code) == (datetime(2026, 3, 29, 1, tzinfo=UTC), RemovalCode.DST)
    assert "does not exist in Europe/Berlin" in lost.reason
    assert schedule.removed_after(lost.first) != lost


def test_a_lost_time_never_shares_its_moment_with_a_run() -> None:
    schedule = build("30 2,3 * * *", dst=SKIP)
    both = build("0,30 2,3 * * *", dst=SKIP)
    for each in (schedule, both):
        lost = each.removed_after(local("2026-03-28T12:00"))
        assert lost is not None
        assert each.next_after(lost.first - timedelta(microseconds=1)) != lost.first
        later = each.removed_after(lost.first)
        assert later is None or later.first > lost.first + timedelta(days=1)


def test_max_runs_counts_what_fires_after_its_begin() -> None:
    counts_from = local("2026-12-24T00:00")
    schedule = build("0 9 * * *", calendars=XMAS, max_runs=3, counts_from=counts_from)
    assert fires(schedule, "2026-12-22T12:00", 9) == ["12-23 09:00", "12-24 09:00", "12-29 09:00", "12-30 09:00"]
    assert schedule.next_after(local("2027-06-01T00:00")) is None
    assert fires(schedule, "2026-12-22T12:00", 9)[-1] == "12-30 09:00"
    assert schedule.removed_after(local("2026-12-31T00:00")) is None
    assert schedule.removed_after(local("2026-12-24T12:00")) is not None
    other = build("0 9 * * *", calendars=XMAS, max_runs=3, counts_from=counts_from)
    assert other.next_after(local("2027-06-01T00:00")) is None


def test_jitter_leaves_no_window_no_allowed_day_and_no_end() -> None:
    day = timedelta(days=1)
    schedule = build("50 16 * * *", jitter=day, active_windows=(WindowSpec(start="09:00", end="17:00"),))
    late = build("50 23 * * *", jitter=day, calendars=CalendarSpec(exclude=("weekends",)))
    ending = build("0 9 * * *", jitter=day, end=local("2026-06-05T09:30"))
    moment = local("2026-06-01T00:00")
    for _ in range(60):
        moment = schedule.next_after(moment) or moment
        assert "16:50" <= f"{moment.astimezone(BERLIN):%H:%M}" < "17:00"
    moment = local("2026-06-01T00:00")
    for _ in range(60):
        moment = late.next_after(moment) or moment
        assert moment.astimezone(BERLIN).weekday() < 5
    moment = local("2026-06-04T23:00")
    while (following := ending.next_after(moment)) is not None:
        moment = following
    assert moment < local("2026-06-05T09:30")


def test_a_preview_tells_what_moved_and_what_removed() -> None:
    rule = CalendarSpec(exclude=XMAS.exclude, roll=Roll.NEXT_BUSINESS_DAY)
    entries = preview(build("0 9 25 12 *", calendars=rule), local("2026-12-01T00:00"), 1)
    assert told(entries) == ["+ 12-29 09:00 moved from 2026-12-25 09:00 by calendar holidays"]
    assert entries[0].nominal == local("2026-12-25T09:00")
    assert told(preview(build("0 9 * * *", calendars=XMAS), local("2026-12-24T00:00"), 2)) == [
        "+ 12-24 09:00",
        "- 12-25 09:00 calendar holidays excludes 2026-12-25",
        "- 12-26 09:00 calendar holidays excludes 2026-12-26",
        "- 12-27 09:00 calendar weekends excludes 2026-12-27",
        "- 12-28 09:00 calendar holidays excludes 2026-12-28",
        "+ 12-29 09:00",
    ]


def test_a_preview_tells_delays_and_shifts_of_the_clocks() -> None:
    (delayed,) = preview(build("0 9 * * *", jitter=timedelta(minutes=5)), local("2026-06-01T00:00"), 1)
    assert delayed.time is not None
    assert delayed.nominal == local("2026-06-01T09:00")
    late = (delayed.time - delayed.nominal).total_seconds()
    assert delayed.notes == (f"delayed {late:g} s by jitter",)
    (shifted,) = preview(build("30 2 * * *"), local("2026-03-28T12:00"), 1)
    assert "does not exist" in shifted.notes[0]


def test_a_preview_ends_where_the_runs_end() -> None:
    assert preview(build("@at 2026-02-01T09:00:00"), local("2026-03-01T00:00"), 5) == []
    ending = build("0 9 * * *", calendars=XMAS, end=local("2026-12-27T00:00"))
    assert [entry.is_removed for entry in preview(ending, local("2026-12-24T00:00"), 5)] == [False, True, True]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"calendars": CalendarSpec(include=("nothing",))}, "calendars"),
        ({"calendars": CalendarSpec(include=("weekends",), exclude=("weekends",), roll=Roll.NEXT_BUSINESS_DAY)},
         "calendars"),
        ({"calendars": CalendarSpec(include=("weekends", "gone"))}, "calendars.include[1]"),
        ({"calendars": CalendarSpec(exclude=("gone",))}, "calendars.exclude[0]"),
        ({"calendars": CalendarSpec(roll=Roll.NEXT_BUSINESS_DAY)}, "calendars.roll"),
        ({"active_windows": (WindowSpec(start="10:00", end="11:00"),)}, "active_windows"),
        ({"blackout_windows": (WindowSpec(),)}, "blackout_windows"),
        ({"blackout_windows": (WindowSpec(start="x"),)}, "blackout_windows[0].start"),
        ({"start": ANCHOR, "end": ANCHOR}, "end_time"),
        ({"start": local("2026-06-01T10:00"), "end": local("2026-06-01T11:00")}, "end_time"),
        ({"jitter": timedelta(days=2)}, "jitter"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
    ],
)  # fmt: skip
def test_what_can_never_fire_is_refused_with_the_field_in_conflict(fields: dict[str, object], field: str) -> None:
    wrong = spec("0 9 * * *", **fields)
    with pytest.raises(ScheduleError) as caught:
        build_schedule(wrong, CALENDARS)
    assert caught.value.field == field
    assert caught.value.example
    assert [problem.field for problem in problems_of(wrong, CALENDARS)] == [field]


def test_what_is_over_is_no_mistake() -> None:
    for over in (
        build("@at 2020-01-01T09:00:00"),
        build("0 9 * * *", end=ANCHOR - timedelta(days=1)),
        build("@at 2026-01-02T09:00:00", calendars=CalendarSpec(exclude=("weekends",))),
    ):
        assert over.next_after(local("2026-06-01T00:00")) is None
    with pytest.raises(ScheduleError, match="2026-01-03"):
        build("@at 2026-01-03T09:00:00", calendars=CalendarSpec(exclude=("weekends",)))
