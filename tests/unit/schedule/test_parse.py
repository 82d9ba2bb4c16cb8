"""Refusals: each says what is wrong, where, and how it is written."""

from datetime import UTC, datetime

import pytest

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.parse import MACROS, parse_timezone
from tests.unit.schedule.asking import schedule_of

REFUSALS = [
    ("", "empty", "", 0),
    ("   ", "empty", "", 0),
    ("* * *", "has 3 fields", "", 5),
    ("every 5 minutes", "write @every", "", 15),
    ("0 0 9 * * MON 2026", "use start_time and end_time", "2026", 14),
    ("61 * * * *", 'minute "61" is out of range; allowed are 0-59', "61", 0),
    ("*  24 * * *", 'hour "24" is out of range; allowed are 0-23', "24", 3),
    ("* * 0 * *", 'day-of-month "0" is out of range; allowed are 1-31', "0", 4),
    ("* * 1,32 * *", 'day-of-month "32" is out of range', "32", 6),
    ("* * * 13 *", 'month "13" is out of range; allowed are 1-12', "13", 6),
    ("* * * * 8", 'day-of-week "8" is out of range; allowed are 0-7', "8", 8),
    ("70 * * * * *", 'second "70" is out of range', "70", 0),
    ("99999999999999999999 * * * *", "out of range", "99999999999999999999", 0),
    ("* * * * FOO", 'day-of-week "FOO" is not understood', "FOO", 8),
    ("MON * * * *", "belongs in the day-of-week field", "MON", 0),
    ("* * * sun *", "belongs in the day-of-week field", "sun", 6),
    ("* * * * JAN", "belongs in the month field", "JAN", 8),
    ("* * * * MON-JAN", "belongs in the month field", "JAN", 12),
    ("-1 * * * *", 'minute "-1" is not understood', "", 0),
    ("1-2-3 * * * *", "two ends", "1-2-3", 0),
    ("1.5 * * * *", "is not understood", "1.5", 0),
    ("\u0661 * * * *", "is no character", "\u0661", 0),
    ("* 22-2 * * *", "goes backwards; write 22-23,0-2", "22-2", 2),
    ("* * * * FRI-MON", "goes backwards; write 5-6,0-1", "FRI-MON", 8),
    ("* * * * FRI-SUN", "write 5-7", "FRI-SUN", 8),
    ("* * * * SAT-SUN", "write 6-7", "SAT-SUN", 8),
    ("* * * NOV-FEB *", "write 11-12,1-2", "NOV-FEB", 6),
    ("* * * DEC-JAN *", "write 12,1", "DEC-JAN", 6),
    ("*/0 * * * *", "a step is 1 to 59", "0", 2),
    ("*/90 * * * *", "use @every, such as @every 90m", "90", 2),
    ("*/ * * * *", "is no number", "", 2),
    ("*/x * * * *", "is no number", "x", 2),
    ("*/5/5 * * * *", "more than one step", "*/5/5", 0),
    ("1,,2 * * * *", "a comma with nothing beside it", ",", 2),
    (",1 * * * *", "a comma with nothing beside it", ",", 0),
    ("1, * * * *", "a comma with nothing beside it", ",", 1),
    ("*5 * * * *", "is not understood", "*5", 0),
    ("? * * * *", "whole of a day field", "?", 0),
    ("* * ?,1 * *", "whole of a day field", "?", 4),
    ("* * ? * ?", "both day fields", "?", 8),
    ("* * L-0 * *", "L-1 to L-30", "0", 6),
    ("* * L-31 * *", "L-1 to L-30", "31", 6),
    ("* * 32W * *", "out of range", "32", 4),
    ("* * W * *", "is not understood", "W", 4),
    ("* * 1-L * *", "without ranges or steps", "L", 6),
    ("* * L/2 * *", "without ranges or steps", "L", 4),
    ("* * * * L", "FRIL is the last Friday", "L", 8),
    ("* * * * MON#6", "use #1 to #5", "6", 12),
    ("* * * * MON#0", "use #1 to #5", "0", 12),
    ("* * * * MON#", "use #1 to #5", "", 12),
    ("* * * * 9#1", "out of range", "9", 8),
    ("* * * * JANL", "belongs in the month field", "JAN", 8),
    ("L * * * *", "is not understood", "L", 0),
    ("0 0 30 2 *", "never happens", "30", 4),
    ("0 0 31 2,4 *", "never happens", "31", 4),
    ("0 0 31W feb-apr/2 *", "never happens", "31W", 4),
    ("0  0 */30 2 MON#2", "never happens", "*/30", 5),
    ("0 0 L-29 2 ?", "never happens", "L-29", 4),
    ("TZ=Europe/Berlin 0 9 * * *", "field timezone", "TZ=Europe/Berlin", 0),
    (" CRON_TZ=UTC 0 9 * * *", "field timezone", "CRON_TZ=UTC", 1),
    ("@fortnightly", "no known macro", "@fortnightly", 0),
    ("@dayly", "did you mean @daily", "@dayly", 0),
    (" @hourley", "did you mean @hourly", "@hourley", 1),
    ("@evry 5m", "did you mean @every", "@evry", 0),
    ("@reboot", "no single machine", "@reboot", 0),
    ("@daily 5", "stands alone", "5", 7),
    ("@", "no known macro", "@", 0),
    ("* " * 501, "at most 1000", "* ", 1000),
]


@pytest.mark.parametrize(("expression", "hint", "part", "position"), REFUSALS)
def test_an_expression_that_means_nothing_is_refused_with_its_place_and_a_hint(
    expression: str, hint: str, part: str, position: int
) -> None:
    with pytest.raises(ScheduleError) as refusal:
        schedule_of(expression)
    error = refusal.value
    assert hint in str(error)
    assert (error.field, error.part, error.position) == ("schedule", part, position)
    assert schedule_of(error.example).next_after(datetime(2026, 1, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Mars/Olympus", "use a name such as Europe/Berlin"),
        ("europe/berlin ", 'did you mean "Europe/Berlin"?'),
        ("Europe/Berln", 'did you mean "Europe/Berlin"?'),
        ("America/New York", 'did you mean "America/New_York"?'),
        ("../etc/passwd", "no IANA time zone"),
        ("UTC+25", "no IANA time zone"),
    ],
)
def test_an_unknown_zone_is_refused(name: str, hint: str) -> None:
    with pytest.raises(ScheduleError, match="no IANA time zone") as refusal:
        schedule_of("* * * * *", name)
    assert hint in str(refusal.value)
    assert (refusal.value.field, refusal.value.part, refusal.value.position) == ("timezone", name, 0)
    assert parse_timezone(refusal.value.example).key == refusal.value.example


def test_no_zone_means_utc() -> None:
    assert parse_timezone("").key == "UTC"


def test_rules_of_rfc_5545_are_schedules_too() -> None:
    found = schedule_of("RRULE:FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0").next_after(datetime(2026, 3, 1, tzinfo=UTC))
    assert found == datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize("macro", sorted(MACROS))
def test_a_macro_is_the_expression_that_it_stands_for(macro: str) -> None:
    assert schedule_of(macro.upper()) is schedule_of(MACROS[macro])
