"""What cron expressions mean, by hand."""

import pytest

from tests.unit.schedule.asking import occurrences, schedule_of, utc


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/15 * * * *", "03-01T00:15 03-01T00:30 03-01T00:45 03-01T01:00"),
        ("  30  9 * *\tMON-FRI ", "03-02T09:30 03-03T09:30"),
        ("0 0 1,15 * *", "03-15T00:00 04-01T00:00"),
        ("0 12 * jan,jul sun", "07-05T12:00 07-12T12:00"),
        ("0 0 * * 0", "03-08T00:00 03-15T00:00"),
        ("0 0 * * 7", "03-08T00:00 03-15T00:00"),
        ("0 0 * * 5-7", "03-06T00:00 03-07T00:00 03-08T00:00 03-13T00:00"),
        ("0 0 * * 5/2", "03-06T00:00 03-08T00:00 03-13T00:00"),
        ("0 0 13 * FRI", "03-06T00:00 03-13T00:00 03-20T00:00"),
        ("0 0 */13 * FRI", "03-27T00:00 05-01T00:00"),
        ("0 0 * * FRI", "03-06T00:00 03-13T00:00"),
        ("0 0 13 * *", "03-13T00:00 04-13T00:00"),
        ("0 0 13 * */2", "06-13T00:00 08-13T00:00 09-13T00:00 10-13T00:00"),
        ("5/15 * * * *", "03-01T00:05 03-01T00:20 03-01T00:35 03-01T00:50 03-01T01:05"),
        ("*/25,10 * * * *", "03-01T00:10 03-01T00:25 03-01T00:50 03-01T01:00"),
        ("1-10/3,20 * * * *", "03-01T00:01 03-01T00:04 03-01T00:07 03-01T00:10 03-01T00:20 03-01T01:01"),
        ("0 3-3/2 * * *", "03-01T03:00 03-02T03:00"),
        ("007 03 * * *", "03-01T03:07 03-02T03:07"),
        ("0 9 ? * MON", "03-02T09:00 03-09T09:00"),
        ("0 9 15 * ?", "03-15T09:00 04-15T09:00"),
        ("0 0 L * *", "03-31T00:00 04-30T00:00 05-31T00:00"),
        ("0 0 l * *", "03-31T00:00 04-30T00:00"),
        ("0 0 L-3 * *", "03-28T00:00 04-27T00:00"),
        ("0 0 L-30 * *", "05-01T00:00 07-01T00:00"),
        ("0 0 LW * *", "03-31T00:00 04-30T00:00 05-29T00:00"),
        ("0 0 15W * *", "03-16T00:00 04-15T00:00 05-15T00:00 06-15T00:00"),
        ("0 0 1W 8 *", "08-03T00:00"),
        ("0 0 31W 5 *", "05-29T00:00"),
        ("0 0 1,L * *", "03-31T00:00 04-01T00:00 04-30T00:00 05-01T00:00"),
        ("0 0 * * 5L", "03-27T00:00 04-24T00:00"),
        ("0 0 * * friL", "03-27T00:00 04-24T00:00"),
        ("0 0 * * 7L", "03-29T00:00 04-26T00:00"),
        ("0 0 * * MON#1", "03-02T00:00 04-06T00:00"),
        ("0 0 * * 1#2", "03-09T00:00 04-13T00:00"),
        ("0 0 * * MON#5", "03-30T00:00 06-29T00:00"),
        ("0 0 * * MON#1,FRI", "03-02T00:00 03-06T00:00 03-13T00:00"),
        ("0 0 L * FRI#1", "03-06T00:00 03-31T00:00 04-03T00:00"),
        ("*/20 * * * * *", "03-01T00:00:20 03-01T00:00:40 03-01T00:01:00"),
        ("59 59 23 31 12 *", "12-31T23:59:59"),
        ("@hourly", "03-01T01:00 03-01T02:00"),
        ("@daily", "03-02T00:00"),
        ("@Midnight", "03-02T00:00"),
        ("@weekly", "03-08T00:00"),
        ("@monthly", "04-01T00:00"),
    ],
)
def test_an_expression_means_these_moments(expression: str, expected: str) -> None:
    moments = [utc(f"2026-{text}") for text in expected.split()]
    assert occurrences(schedule_of(expression), utc("2026-03-01"), len(moments)) == moments


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("0 0 29 2 *", "2096-03-01", ["2104-02-29", "2108-02-29"]),
        ("0 0 * 2 MON#5", "2072-03-01", ["2112-02-29", "2140-02-29"]),
        ("0 0 29 FEB */6", "2026-01-01", ["2032-02-29", "2048-02-29"]),
        ("@YEARLY", "2026-03-01", ["2027-01-01", "2028-01-01"]),
        ("@annually", "2026-01-01", ["2027-01-01"]),
        ("0 0 31 12 *", "9997-01-01", ["9997-12-31", "9998-12-31"]),
    ],
)
def test_far_away_days_are_found(expression: str, start: str, expected: list[str]) -> None:
    assert occurrences(schedule_of(expression), utc(start), len(expected)) == [utc(text) for text in expected]


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "Pacific/Apia"])
@pytest.mark.parametrize("expression", ["* * * * *", "0 0 1 1 *", "@every 366d", "@at 2027-01-01T09:00:00"])
def test_the_ends_of_time_raise_nothing(expression: str, timezone: str) -> None:
    schedule = schedule_of(expression, timezone)
    assert schedule.next_after(utc("9999-12-31T23:59:59")) is None
    assert schedule.next_after(utc("0001-01-01")) is not None


def test_a_moment_between_two_seconds_is_followed_by_the_next_whole_one() -> None:
    schedule = schedule_of("* * * * * *")
    assert schedule.next_after(utc("2026-03-01T00:00:00.000001")) == utc("2026-03-01T00:00:01")
    assert schedule.next_after(utc("2026-03-01T00:00:00.999999")) == utc("2026-03-01T00:00:01")
    assert schedule.next_after(utc("2026-03-01T00:00:01")) == utc("2026-03-01T00:00:02")


def test_equal_expressions_share_an_object_unless_they_are_hashed() -> None:
    assert schedule_of("5 4 * * *") is schedule_of("5 4 * * *", seed="default/other")
    assert schedule_of("H 4 * * *") is not schedule_of("H 4 * * *")
    assert schedule_of("5 4 * * *", "Europe/Berlin") is not schedule_of("5 4 * * *")
