"""Schedules in plain English: one table, and that every schedule has words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.schedule.describe import describe
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.parse import parse_schedule
from services.scheduler.domain.schedule.spec import (
    CalendarSpec,
    DstPolicy,
    RepeatedTime,
    Roll,
    ScheduleSpec,
    SkippedTime,
    WindowSpec,
)
from tests.strategies import CRON, CRON_WITH_SECONDS, DST_POLICIES, HASHED_CRON, ZONES
from tests.unit.schedule.rrule_strategies import Case, cases

ANCHOR = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)


def words(expression: str, **fields: object) -> str:
    return describe(ScheduleSpec(expression=expression, seed="default/x", anchor=ANCHOR, **fields))  # type: ignore[arg-type]


VECTORS = """
* * * * * -> Every minute, UTC
*/15 * * * * -> Every 15 minutes, UTC
*/15 9-17 * * MON-FRI -> Every 15 minutes, from 09:00 to 17:59, Monday to Friday, UTC
0 9 * * MON-FRI -> At 09:00, Monday to Friday, UTC
30 2 LW * * -> At 02:30 on the last weekday of the month, UTC
H * * * * -> Once an hour, at a minute chosen for the job (53), UTC
H H * * * -> At 18:53 every day (minute and hour chosen for the job), UTC
H/15 * * * * -> Every 15 minutes from minute 8 of the hour on (minute chosen for the job), UTC
H 9 * * * -> At 09:53 every day (minute chosen for the job), UTC
0 0 1 1 * -> At 00:00 on 1 January, UTC
@yearly -> At 00:00 on 1 January, UTC
@hourly -> Every hour, UTC
@weekly -> At 00:00 on Sunday, UTC
@daily -> At 00:00 every day, UTC
@monthly -> At 00:00 on day 1 of the month, UTC
0 */2 * * * -> Every 2 hours, UTC
15 */2 * * * -> Every 2 hours from 00:15 to 22:15, UTC
0 9-17 * * * -> Every hour from 09:00 to 17:00, UTC
30 9-17/2 * * * -> At 09:30, 11:30, 13:30, 15:30 and 17:30 every day, UTC
0 0,12 * * * -> At 00:00 and 12:00 every day, UTC
0 */4 * * * -> Every 4 hours, UTC
0 */8 * * * -> At 00:00, 08:00 and 16:00 every day, UTC
5,20 * * * * * -> At 5 and 20 seconds past every minute, UTC
5,20 3 * * * * -> At 5 and 20 seconds past every minute, in minute 3 of every hour, UTC
0,20 30 9 1 1 * -> At 09:30 and 09:30:20 on 1 January, UTC
* * * * MON#2,TUE -> Every minute on every Tuesday and the second Monday of the month, UTC
0 12 ? FEB-NOV/3 THU -> At 12:00 on Thursday, in February, May, August and November, UTC
0 12 1W,LW * ? -> At 12:00 on the weekday nearest to day 1 and the last weekday of the month, UTC
0 9 L,1 * 5L -> At 09:00 on day 1 and the last day of the month, and also on the last Friday of the month, UTC
0 9 */10 * MON,TUE -> At 09:00 on days 1, 11, 21 and 31 of the month, but only if that is a Monday or a Tuesday, UTC
0 9 */9 * 5L -> At 09:00 on days 1, 10, 19 and 28 of the month, but only if that is the last Friday of the month, UTC
0 */7 * * * -> At 00:00, 07:00, 14:00 and 21:00 every day, UTC
5,35 * * * * -> Every 30 minutes from minute 5 of the hour on, UTC
5 * * * * -> At 5 minutes past every hour, UTC
1 * * * * -> At 1 minute past every hour, UTC
0,30 9-17 * * * -> Every 30 minutes, from 09:00 to 17:59, UTC
0 0 13 * FRI -> At 00:00 on day 13 of the month, and also on Friday, UTC
0 0 */2 * MON -> At 00:00 on every 2nd day from day 1 to 31 of the month, but only if that is a Monday, UTC
0 9 * * 5L -> At 09:00 on the last Friday of the month, UTC
0 9 * * MON#1 -> At 09:00 on the first Monday of the month, UTC
0 9 1,15,L * * -> At 09:00 on days 1 and 15 and the last day of the month, UTC
0 9 L-3 * * -> At 09:00 on the fourth-last day of the month, UTC
0 9 15W JAN,JUL * -> At 09:00 on the weekday nearest to day 15 in January and July, UTC
0 9 * */3 * -> At 09:00, in January, April, July and October, UTC
0 9 * 6-8 SAT,SUN -> At 09:00 on Saturday and Sunday, from June to August, UTC
0 9 29 2 * -> At 09:00 on 29 February, UTC
0 9 1-7 * * -> At 09:00 on days 1 to 7 of the month, UTC
0 9 */2 * * -> At 09:00 on every 2nd day from day 1 to 31 of the month, UTC
* 9 * * * -> Every minute, from 09:00 to 09:59, UTC
* 9,11,13-15 * * * -> Every minute, in the hours 9, 11 and 13 to 15, UTC
*/10 * * * * * -> Every 10 seconds, UTC
30 0 9 * * * -> At 09:00:30 every day, UTC
*/10 * 9-17 * * * -> Every 10 seconds, from 09:00 to 17:59, UTC
0,30 0 * * * * -> Every 30 seconds, in minute 0 of every hour, UTC
* * * * * * -> Every second, UTC
5 */15 * * * * -> Every 15 minutes, at second 5, UTC
*/7 * * * * -> Every 7 minutes from minute 0 to 56 of the hour, UTC
0 9 * * SUN-THU -> At 09:00, Sunday to Thursday, UTC
0 9 ? * 2,4 -> At 09:00 on Tuesday and Thursday, UTC
3 0,1,2,5,6,7,9,15 * * * -> At 3 minutes past the hours 0 to 2, 5 to 7, 9 and 15 every day, UTC
1,2,3,4,5,9,10 * * * * -> At 1 to 5, 9 and 10 minutes past every hour, UTC
* * 1 * * -> Every minute on day 1 of the month, UTC
0 9 * 1 * -> At 09:00, in January, UTC
0 9 1 JAN-MAR MON -> At 09:00 on day 1 of the month, and also on Monday, from January to March, UTC
0 9 L * MON -> At 09:00 on the last day of the month, and also on Monday, UTC
*/20 */3 * * * -> Every 20 minutes, in every 3rd hour from 0 to 21, UTC
0 9 * * MON,FRIL -> At 09:00 on every Monday and the last Friday of the month, UTC
5/10 0 * * * * -> Every 10 seconds from second 5 of the minute on, in minute 0 of every hour, UTC
@every 90s -> Every 90 seconds, counted from the job's creation
@every 1h30m -> Every 1 hour and 30 minutes, counted from the job's creation
@every 24h -> Every day, counted from the job's creation
@every 250h -> Every 10 days and 10 hours, counted from the job's creation
@every 1.5s -> Every 1s500ms, counted from the job's creation
@at 2027-01-01T09:00:00 -> Once, on 2027-01-01 at 09:00, UTC
@at 2027-01-01T09:00Z -> Once, on 2027-01-01 at 09:00, UTC
RRULE:FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0 -> Every week on Monday and Friday at 09:00, UTC
RRULE:FREQ=WEEKLY;INTERVAL=2 -> Every 2 weeks on Thursday at 09:30, UTC
RRULE:FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0 -> Every day at 09:00 and 17:00, UTC
RRULE:FREQ=MONTHLY;BYMONTHDAY=-1,15 -> Every month on day 15 and the last day of the month at 09:30, UTC
RRULE:FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO -> Every year in week 20 on Monday at 09:30, UTC
RRULE:FREQ=YEARLY;BYYEARDAY=100,-1 -> Every year on day 100 and the last day of the year at 09:30, UTC
RRULE:FREQ=HOURLY;INTERVAL=4 -> Every 4 hours, UTC
RRULE:FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12 -> Every 20 minutes, in hours 9 to 12, UTC
RDATE:20270601T120000 -> On 2027-06-01 12:00, UTC
RRULE:FREQ=YEARLY;BYDAY=20MO -> Every year on the 20th Monday of the year at 09:30, UTC
RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH -> Every year in November on the fourth Thursday of the month at 09:30, UTC
RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR -> Every week, Monday to Friday, at 09:30, UTC
RRULE:FREQ=HOURLY;BYDAY=MO,TU,WE;BYSECOND=0 -> Every hour, Monday to Wednesday, in second 0, UTC
RRULE:FREQ=DAILY;BYMONTH=1 -> Every day in January at 09:30, UTC
"""


@pytest.mark.parametrize("vector", [line for line in VECTORS.splitlines() if line])
def test_an_expression_reads_like_this(vector: str) -> None:
    expression, _, expected = vector.partition(" -> ")
    assert words(expression.strip()) == expected.strip()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"timezone": "Europe/Berlin"}, "At 09:00, Monday to Friday, Europe/Berlin time"),
        ({"max_runs": 1}, "At 09:00, Monday to Friday, UTC; at most 1 run"),
        ({"max_runs": 1200}, "At 09:00, Monday to Friday, UTC; at most 1,200 runs"),
        ({"jitter": timedelta(minutes=5)}, "At 09:00, Monday to Friday, UTC; each run up to 5 minutes late"),
        ({"start": ANCHOR}, "At 09:00, Monday to Friday, UTC; only from 2026-01-01 09:30"),
        (
            {"start": ANCHOR, "end": ANCHOR + timedelta(days=9), "timezone": "Asia/Tokyo"},
            "At 09:00, Monday to Friday, Asia/Tokyo time; only from 2026-01-01 18:30 and before 2026-01-10 18:30",
        ),
        (
            {"active_windows": (WindowSpec(days="MON-FRI", start="09:00", end="17:00"), WindowSpec(days="SAT"))},
            "At 09:00, Monday to Friday, UTC; only between 09:00 and 17:00 Monday to Friday or on Saturday",
        ),
        (
            {"blackout_windows": (WindowSpec(first_date="2026-12-24", last_date="2026-12-31", timezone="Asia/Tokyo"),)},
            "At 09:00, Monday to Friday, UTC; not from 2026-12-24 to 2026-12-31 (Asia/Tokyo time)",
        ),
        (
            {"calendars": CalendarSpec(exclude=("weekends", "holidays"), roll=Roll.NEXT_BUSINESS_DAY)},
            'At 09:00, Monday to Friday, UTC; not on days of the calendars "weekends" or "holidays"; '
            "a run on another day moves to the next allowed day",
        ),
        (
            {"calendars": CalendarSpec(include=("paydays",))},
            'At 09:00, Monday to Friday, UTC; only on days of the calendar "paydays"',
        ),
        (
            {"dst": DstPolicy(skipped=SkippedTime.SKIP, repeated=RepeatedTime.BOTH)},
            "At 09:00, Monday to Friday, UTC; a time that the clocks skip does not run; "
            "a time that the clocks repeat runs both times",
        ),
        (
            {"dst": DstPolicy(skipped=SkippedTime.BEFORE, repeated=RepeatedTime.LAST)},
            "At 09:00, Monday to Friday, UTC; a time that the clocks skip runs right before; "
            "a time that the clocks repeat runs the second time",
        ),
    ],
)
def test_everything_else_that_a_spec_says_is_in_it(fields: dict[str, object], expected: str) -> None:
    assert words("0 9 * * MON-FRI", **fields) == expected


def test_a_hashed_number_is_the_one_that_the_job_has() -> None:
    schedule = parse_schedule("H * * * *", "UTC", seed="default/x", anchor=ANCHOR)
    following = schedule.next_after(ANCHOR)
    assert following is not None
    assert words("H * * * *") == f"Once an hour, at a minute chosen for the job ({following.minute}), UTC"


def test_a_schedule_that_means_nothing_has_no_words() -> None:
    with pytest.raises(ScheduleError):
        words("61 * * * *")


EXPRESSIONS = st.one_of(
    CRON,
    CRON_WITH_SECONDS,
    HASHED_CRON,
    cases().map(lambda case: case.text),
    st.integers(1, 10**7).map(lambda seconds: f"@every {seconds}s"),
)


@given(EXPRESSIONS, ZONES, DST_POLICIES)
@settings(max_examples=150, deadline=None)
def test_every_schedule_that_is_accepted_has_tidy_words(expression: str, zone: str, dst: DstPolicy) -> None:
    try:
        parse_schedule(expression, zone, dst=dst, seed="default/x", anchor=ANCHOR)
    except ScheduleError:
        return
    text = words(expression, timezone=zone, dst=dst)
    assert text
    assert text == text.strip()
    assert not any(flaw in text for flaw in ("  ", " ,", ",,", "None", "[", "datetime"))
    assert len(text) < 1000


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (
            "H H(0-6) H * H",
            "At 06:53 on day 19 of the month, and also on Saturday "
            "(minute, hour, day and weekday chosen for the job), UTC",
        ),
        (
            "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=8;BYMINUTE=0",
            "Every month, Monday to Friday, at 08:00, only the last of these in each month, UTC",
        ),
        (
            "RRULE:FREQ=MONTHLY;BYDAY=2MO,-1FR;COUNT=10",
            "Every month on the second Monday and the last Friday of the month at 09:30, 10 times, UTC",
        ),
        (
            "DTSTART;TZID=America/New_York:20270101T090000 RRULE:FREQ=YEARLY;UNTIL=20301231T000000Z",
            "Every year on 1 January at 09:00, until 2030-12-31 00:00 UTC, from 2027-01-01 09:00, "
            "America/New_York time",
        ),
        (
            "DTSTART:20270101T090000 RRULE:FREQ=DAILY RDATE:20270601T120000 EXDATE:20270102,20270103",
            "Every day at 09:00, from 2027-01-01 09:00; also on 2027-06-01 12:00; "
            "except on 2027-01-02 and 2027-01-03, UTC",
        ),
        (
            "RRULE:FREQ=DAILY;COUNT=1 RRULE:FREQ=WEEKLY;UNTIL=20271231",
            "Every day at 09:30, once; every week on Thursday at 09:30, until 2027-12-31, UTC",
        ),
    ],
)
def test_a_longer_expression_reads_like_this(expression: str, expected: str) -> None:
    assert words(expression) == expected


def test_a_long_recurrence_stays_short() -> None:
    days = tuple(datetime(2026, 2, 1) + timedelta(days=day) for day in range(300))
    case = Case(datetime(2026, 1, 1, 9), ("FREQ=DAILY",), excluded=days)
    assert words(case.text) == (
        "Every day at 09:00, from 2026-01-01 09:00; "
        "except on 2026-02-01 00:00, 2026-02-02 00:00, 2026-02-03 00:00 and 297 more times, UTC"
    )
