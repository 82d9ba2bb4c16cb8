"""Sets of days."""

from datetime import date, timedelta

import pytest

from services.scheduler.domain.schedule.calendar import WEEKENDS, day_set
from services.scheduler.domain.schedule.errors import ScheduleError


def test_single_days_yearly_days_and_periods_are_in() -> None:
    days = day_set(["2026-05-01", "12-25", "02-29", "2026-07-01/2026-07-03", "2026-07-02/2026-07-10"], "", [])
    for inside in ("2026-05-01", "1999-12-25", "2026-12-25", "2028-02-29", "2026-07-01", "2026-07-05", "2026-07-10"):
        assert date.fromisoformat(inside) in days
    for outside in ("2027-05-01", "2026-12-24", "2026-06-30", "2026-07-11", "2027-07-01"):
        assert date.fromisoformat(outside) not in days


def test_weekdays_are_those_of_cron() -> None:
    assert [day for day in range(1, 8) if date(2026, 6, day) in day_set([], "MON-WED,0", [])] == [1, 2, 3, 7]
    assert [day for day in range(1, 8) if date(2026, 6, day) in day_set([], "7", [])] == [7]
    assert [day for day in range(1, 8) if date(2026, 6, day) in WEEKENDS] == [6, 7]


def test_rules_give_days_year_by_year_whatever_the_order() -> None:
    days = day_set([], "", ["RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "DTSTART:20250102 RRULE:FREQ=YEARLY;COUNT=3"])
    assert date(2027, 11, 25) in days
    assert date(2026, 11, 26) in days
    assert date(2026, 11, 25) not in days
    assert [year for year in range(2020, 2035) if date(year, 1, 2) in days] == [2025, 2026, 2027]


def test_a_rule_that_is_finer_than_a_day_gives_each_day_once() -> None:
    days = day_set([], "", ["DTSTART:20260101T000000 RRULE:FREQ=MINUTELY;INTERVAL=7;UNTIL=20260110T000000Z"])
    inside = [day for day in range(365) if date(2026, 1, 1) + timedelta(days=day) in days]
    assert inside in (list(range(9)), list(range(10)))


@pytest.mark.parametrize(
    ("dates", "weekdays", "rules", "field", "part", "position"),
    [
        (["2026-01-01", "2026-13-01"], "", [], "dates[1]", "2026-13-01", 0),
        (["02-30"], "", [], "dates[0]", "02-30", 0),
        (["20260101"], "", [], "dates[0]", "20260101", 0),
        (["2026-01-01/2026-01-32"], "", [], "dates[0]", "2026-01-32", 11),
        (["2026-01-02/2026-01-01"], "", [], "dates[0]", "2026-01-01", 11),
        (["12-24/12-26"], "", [], "dates[0]", "12-24", 0),
        ([], "MON,FUN", [], "weekdays", "FUN", 4),
        ([], "MON#1", [], "weekdays", "MON#1", 0),
        ([], "H", [], "weekdays", "H", 0),
        ([], "", ["RRULE:FREQ=DAILY", "RRULE:FREQ=ODDLY"], "rules[1]", "ODDLY", 11),
    ],
)
def test_what_means_no_day_is_refused_with_its_place(
    dates: list[str], weekdays: str, rules: list[str], field: str, part: str, position: int
) -> None:
    with pytest.raises(ScheduleError) as caught:
        day_set(dates, weekdays, rules)
    assert (caught.value.field, caught.value.part, caught.value.position) == (field, part, position)
    assert caught.value.example
