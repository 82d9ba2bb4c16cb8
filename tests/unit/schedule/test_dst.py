"""What changes of the clocks do, by hand: odd days of odd zones."""

from datetime import timedelta

import pytest

from services.scheduler.domain.schedule.errors import ScheduleError
from tests.unit.schedule.asking import occurrences, occurrences_until, policy, schedule_of, utc


def on(
    expression: str, timezone: str, start: str, end: str, skipped: str = "next_valid", repeated: str = "first"
) -> str:
    """The occurrences after `start` and not after `end`, as text."""
    schedule = schedule_of(expression, timezone, dst=policy(skipped, repeated))
    found = occurrences_until(schedule, utc(start), utc(end))
    return " ".join(f"{moment:%dT%H:%M:%S}".removesuffix(":00") for moment in found)


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [
        ("next_valid", "28T01:30 29T01:00 30T00:30"),
        ("before", "28T01:30 29T00:59:59 30T00:30"),
        ("skip", "28T01:30 30T00:30"),
    ],
)
def test_a_fixed_time_in_a_gap_obeys_the_policy(skipped: str, expected: str) -> None:
    assert on("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00", "2026-03-31T00:00", skipped) == expected


@pytest.mark.parametrize(
    ("repeated", "expected"),
    [
        ("first", "24T00:30 25T00:30 26T01:30"),
        ("last", "24T00:30 25T01:30 26T01:30"),
        ("both", "24T00:30 25T00:30 25T01:30 26T01:30"),
    ],
)
def test_a_fixed_time_that_comes_twice_obeys_the_policy(repeated: str, expected: str) -> None:
    start, end = "2026-10-24T00:00", "2026-10-27T00:00"
    assert on("30 2 * * *", "Europe/Berlin", start, end, repeated=repeated) == expected


@pytest.mark.parametrize(("skipped", "expected"), [("next_valid", "29T01:00"), ("before", "29T00:59:59"), ("skip", "")])
def test_times_that_one_gap_skips_run_once_together(skipped: str, expected: str) -> None:
    expression, start, end = "0,20,40 2 * * *", "2026-03-29T00:00", "2026-03-29T12:00"
    assert on(expression, "Europe/Berlin", start, end, skipped) == expected
    assert on("0 2,3 * * *", "Europe/Berlin", start, end) == "29T01:00"
    assert on("59 59 1,2 * * *", "Europe/Berlin", start, end, "before") == "29T00:59:59"


def test_fixed_times_with_seconds_obey_the_policy_too() -> None:
    start, end = "2026-03-29T00:00", "2026-03-29T12:00"
    assert on("*/30 30 2 * * *", "Europe/Berlin", start, end) == "29T01:00"
    assert on("*/30 30 2 * * *", "Europe/Berlin", start, end, "skip") == ""


@pytest.mark.parametrize("skipped", ["next_valid", "before", "skip"])
@pytest.mark.parametrize("repeated", ["first", "last", "both"])
@pytest.mark.parametrize("expression", ["*/30 * * * *", "0,30 * * * *", "*/30 0-23 * * *", "* */30 * * * *"])
@pytest.mark.parametrize("start", ["2026-03-28T22:00", "2026-10-24T22:00"])
def test_wildcards_follow_elapsed_time_whatever_the_policy(
    expression: str, start: str, skipped: str, repeated: str
) -> None:
    if expression == "* */30 * * * *":
        expression = "0 */30 * * * *"
    schedule = schedule_of(expression, "Europe/Berlin", dst=policy(skipped, repeated))
    assert occurrences(schedule, utc(start), 16) == [utc(start) + timedelta(minutes=30 * n) for n in range(1, 17)]


def test_a_star_with_a_step_is_a_wildcard_and_a_full_range_is_not() -> None:
    span = ("2026-10-24T23:30", "2026-10-25T02:30")
    assert on("0 */1 * * *", "Europe/Berlin", *span) == "25T00:00 25T01:00 25T02:00"
    assert on("0 0-23 * * *", "Europe/Berlin", *span) == "25T00:00 25T02:00"


@pytest.mark.parametrize(
    ("expression", "timezone", "span", "expected"),
    [
        # Lord Howe moves by half an hour: 02:00 to 02:30, and 02:00 back to 01:30.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00 2026-10-04T15:30", "03T15:30 04T15:15"),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00 2026-04-05T15:30", "04T14:45 05T15:15"),
        ("*/30 * * * *", "Australia/Lord_Howe", "2026-04-04T14:30 2026-04-04T16:00", "04T15:00 04T15:30 04T16:00"),
        ("*/20 * * * *", "Australia/Lord_Howe", "2026-10-03T15:00 2026-10-03T16:00", "03T15:10 03T15:40 03T16:00"),
        # Troll moves by two hours: 01:00 to 03:00 and 03:00 back to 01:00.
        ("30 1,2 * * *", "Antarctica/Troll", "2026-03-28T12:00 2026-03-30T01:00", "29T01:00 29T23:30 30T00:30"),
        ("30 1,2 * * *", "Antarctica/Troll", "2026-10-24T12:00 2026-10-25T12:00", "24T23:30 25T00:30"),
        ("0 * * * *", "Antarctica/Troll", "2026-10-24T22:00 2026-10-25T02:00", "24T23:00 25T00:00 25T01:00 25T02:00"),
        # Samoa had no 30 December 2011.
        ("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00 2012-01-01T00:00", "29T19:00 30T10:00 30T19:00 31T19:00"),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00 2012-01-05T00:00", "30T10:00"),
        ("0 9 * * FRI", "Pacific/Apia", "2011-12-24T00:00 2012-01-06T00:00", "30T10:00 05T19:00"),
        ("0 */12 * * *", "Pacific/Apia", "2011-12-29T00:00 2011-12-31T12:00",
         "29T10:00 29T22:00 30T10:00 30T22:00 31T10:00"),
        # Kwajalein went over the date line: 20 August 1993 ended where 22 August began.
        ("0 9 * * *", "Pacific/Kwajalein", "1993-08-19T00:00 1993-08-22T00:00", "19T21:00 20T21:00 21T12:00 21T21:00"),
        # London kept summer time from 1968 to 1971.
        ("30 2 * * *", "Europe/London", "1968-02-17T00:00 1968-02-19T12:00", "17T02:30 18T02:00 19T01:30"),
        ("30 2 * * *", "Europe/London", "1968-10-26T00:00 1968-10-28T00:00", "26T01:30 27T01:30"),
        ("30 2 * * *", "Europe/London", "1971-10-30T00:00 1971-11-01T12:00", "30T01:30 31T01:30 01T02:30"),
        # Pyongyang took half an hour in 2015 and gave it back in 2018.
        ("45 23 * * *", "Asia/Pyongyang", "2015-08-14T00:00 2015-08-16T00:00", "14T14:45 15T15:15"),
        ("45 23 * * *", "Asia/Pyongyang", "2018-05-03T00:00 2018-05-06T00:00", "03T15:15 04T15:00 05T14:45"),
        # Caracas: UTC-4 to -4:30 in December 2007, back in May 2016.
        ("45 2 * * *", "America/Caracas", "2007-12-08T12:00 2007-12-11T00:00", "09T06:45 10T07:15"),
        ("45 2 * * *", "America/Caracas", "2016-04-30T12:00 2016-05-02T12:00", "01T07:00 02T06:45"),
        # Casablanca leaves summer time for Ramadan.
        ("30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00 2026-02-16T12:00", "15T01:30 16T02:30"),
        ("30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00 2026-03-23T12:00", "22T02:00 23T01:30"),
        # Havana has no midnight when summer begins, and two when it ends.
        ("0 0 * * *", "America/Havana", "2026-03-07T12:00 2026-03-10T00:00", "08T05:00 09T04:00"),
        ("0 0 * * *", "America/Havana", "2026-10-31T12:00 2026-11-02T12:00", "01T04:00 02T05:00"),
        # After 2037 rules go on, as the zone's last rule says.
        ("30 2 * * *", "Europe/Berlin", "2045-03-25T12:00 2045-03-27T12:00", "26T01:00 27T00:30"),
        ("30 1 * * *", "America/New_York", "2090-11-04T12:00 2090-11-06T12:00", "05T05:30 06T06:30"),
    ],
)  # fmt: skip
def test_odd_days(expression: str, timezone: str, span: str, expected: str) -> None:
    start, end = span.split()
    assert on(expression, timezone, start, end) == expected


def test_a_schedule_that_the_clocks_always_skip_is_refused() -> None:
    with pytest.raises(ScheduleError, match="never happens in Europe/Berlin"):
        schedule_of("30 2 * 3 SUNL", "Europe/Berlin", dst=policy("skip"))
    with pytest.raises(ScheduleError, match="never happens in Europe/Berlin"):
        schedule_of("*/30 2 * 3 SUNL", "Europe/Berlin")
    assert schedule_of("30 2 * 3 SUNL", "Europe/Berlin").next_after(utc("2026-01-01")) == utc("2026-03-29T01:00")


def test_a_moved_occurrence_says_why() -> None:
    schedule = schedule_of("30 2 * * *", "Europe/Berlin")
    note = schedule.shift_note(utc("2026-03-29T01:00"))
    assert note.startswith(
        "2026-03-29 02:30:00 does not exist in Europe/Berlin: the clocks go from 2026-03-29 02:00:00"
    )
    assert schedule.shift_note(utc("2026-03-30T00:30")) == ""
    assert schedule_of("30 4 * * *", "Europe/Berlin").shift_note(utc("2026-03-29T01:00")) == ""
    early = schedule_of("30 2 * * *", "Europe/Berlin", dst=policy("before"))
    assert "does not exist" in early.shift_note(utc("2026-03-29T00:59:59"))
    assert early.shift_note(utc("2026-03-29T01:00")) == ""
    assert schedule_of("30 2 * * *").shift_note(utc("2026-03-29T01:00")) == ""


def test_what_a_gap_takes_away_is_found() -> None:
    schedule = schedule_of("30 2 * * *", "Europe/Berlin", dst=policy("skip"))
    lost = schedule.lost_after(utc("2026-01-01"))
    assert lost is not None
    assert lost.at == utc("2026-03-29T01:00")
    assert "02:30:00 does not exist in Europe/Berlin" in lost.note
    assert schedule.lost_after(utc("2026-03-29T00:59:59")) is not None
    later = schedule.lost_after(lost.at)
    assert later is not None
    assert later.at == utc("2027-03-28T01:00")


@pytest.mark.parametrize(
    ("expression", "timezone", "start", "skipped", "lost"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-01-01", "next_valid", None),
        ("30 2 * * *", "Europe/Berlin", "2026-01-01", "before", None),
        ("30 4 * * *", "Europe/Berlin", "2026-01-01", "skip", None),
        ("30 2 * * *", "UTC", "2026-01-01", "skip", None),
        ("30 2 * * *", "Asia/Kolkata", "2026-01-01", "skip", None),
        ("*/30 * * * *", "Europe/Berlin", "2026-01-01", "skip", None),
        ("*/30 2 * * *", "Europe/Berlin", "2026-01-01", "next_valid", "2026-03-29T01:00"),
        ("0 */2 * * *", "Europe/Berlin", "2026-01-01", "next_valid", "2026-03-29T01:00"),
        ("*/30 * 30 12 *", "Pacific/Apia", "2011-12-01", "next_valid", "2011-12-30T10:00"),
        ("0 9 * * *", "Pacific/Apia", "2011-12-01", "skip", "2011-12-30T10:00"),
    ],
)
def test_only_what_runs_at_no_other_moment_is_lost(
    expression: str, timezone: str, start: str, skipped: str, lost: str | None
) -> None:
    found = schedule_of(expression, timezone, dst=policy(skipped)).lost_after(utc(start))
    assert (found and found.at) == (lost and utc(lost))
