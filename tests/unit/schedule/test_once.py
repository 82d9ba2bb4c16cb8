"""`@at`."""

from datetime import datetime

import pytest

from services.scheduler.domain.schedule.errors import ScheduleError
from tests.unit.schedule.asking import occurrences, policy, schedule_of, utc


@pytest.mark.parametrize(
    ("text", "timezone", "expected"),
    [
        ("2027-01-01T09:00:00", "UTC", "2027-01-01T09:00"),
        ("2027-01-01T09:00", "", "2027-01-01T09:00"),
        ("2027-01-01T09:00:00", "Europe/Berlin", "2027-01-01T08:00"),
        ("2027-07-01t09:00:00.25", "Europe/Berlin", "2027-07-01T07:00:00.250"),
        ("2027-01-01T09:00:00Z", "Europe/Berlin", "2027-01-01T09:00"),
        ("2027-01-01T09:00:00+05:30", "Europe/Berlin", "2027-01-01T03:30"),
        ("2027-01-01T09:00:00-0800", "Europe/Berlin", "2027-01-01T17:00"),
    ],
)
def test_it_runs_once(text: str, timezone: str, expected: str) -> None:
    schedule = schedule_of(f"@at {text}", timezone)
    assert occurrences(schedule, utc("2026-01-01"), 3) == [utc(expected)]
    assert schedule.next_after(utc(expected)) is None
    assert schedule.shift_note(utc(expected)) == ""
    assert schedule.lost_after(utc("2026-12-01")) is None


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [("next_valid", ["2027-03-28T01:00"]), ("before", ["2027-03-28T00:59:59"]), ("skip", [])],
)
def test_a_skipped_wall_time_obeys_the_policy(skipped: str, expected: list[str]) -> None:
    schedule = schedule_of("@at 2027-03-28T02:30:00", "Europe/Berlin", dst=policy(skipped))
    assert occurrences(schedule, utc("2026-01-01"), 3) == [utc(text) for text in expected]
    assert [bool(schedule.shift_note(utc(text))) for text in expected] == [True] * len(expected)


def test_a_skipped_wall_time_that_does_not_run_is_lost() -> None:
    schedule = schedule_of("@at 2027-03-28T02:30:00", "Europe/Berlin", dst=policy("skip"))
    lost = schedule.lost_after(utc("2027-01-01"))
    assert lost is not None
    assert lost.at == utc("2027-03-28T01:00")
    assert "2027-03-28 02:30:00 does not exist in Europe/Berlin" in lost.note
    assert schedule.lost_after(lost.at) is None
    assert schedule.lost_after(utc("2020-01-01")) is None


@pytest.mark.parametrize(
    ("repeated", "expected"),
    [
        ("first", ["2027-10-31T00:30"]),
        ("last", ["2027-10-31T01:30"]),
        ("both", ["2027-10-31T00:30", "2027-10-31T01:30"]),
    ],
)
def test_a_repeated_wall_time_obeys_the_policy(repeated: str, expected: list[str]) -> None:
    schedule = schedule_of("@at 2027-10-31T02:30:00", "Europe/Berlin", dst=policy("next_valid", repeated))
    assert occurrences(schedule, utc("2026-01-01"), 3) == [utc(text) for text in expected]


def test_a_day_that_does_not_exist_begins_with_the_next_one() -> None:
    schedule = schedule_of("@at 2011-12-30T15:00:00", "Pacific/Apia")
    assert occurrences(schedule, utc("2011-01-01"), 2) == [utc("2011-12-30T10:00")]


@pytest.mark.parametrize(
    ("expression", "hint", "part", "position"),
    [
        ("@at", "one date and time", "@at", 0),
        ("@at 2027-01-01 09:00", "one date and time", "09:00", 15),
        ("@at 2027-01-01", "is no date and time", "2027-01-01", 4),
        ("@at  tomorrow", "is no date and time", "tomorrow", 5),
        ("@at 2027-02-30T09:00:00", "does not exist", "2027-02-30T09:00:00", 4),
        ("@at 2027-01-01T25:00:00", "does not exist", "2027-01-01T25:00:00", 4),
        ("@at 2027-01-01T09:00:00+25:00", "does not exist", "2027-01-01T09:00:00+25:00", 4),
        ("@at 0001-01-01T09:00:00", "years are 1970 to 9000", "0001-01-01T09:00:00", 4),
        ("@at 9999-12-31T23:59:59-12:00", "years are 1970 to 9000", "9999-12-31T23:59:59-12:00", 4),
    ],
)
def test_what_is_no_moment_is_refused(expression: str, hint: str, part: str, position: int) -> None:
    with pytest.raises(ScheduleError, match=hint) as refusal:
        schedule_of(expression)
    assert (refusal.value.field, refusal.value.part, refusal.value.position) == ("schedule", part, position)
    assert schedule_of(refusal.value.example).next_after(utc("2026-01-01")) == datetime.fromisoformat(
        "2027-01-01T09:00:00+00:00"
    )
