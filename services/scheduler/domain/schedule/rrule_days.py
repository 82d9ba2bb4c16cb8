"""Which days a rule means, and the periods that it counts (RFC 5545, 3.3.10).

All BY parts narrow down the days of a period, which gives the same sets as the RFC's expansions. BYWEEKNO numbers
weeks as ISO 8601 does, from WKST on: days of week 1 may lie in December of the year before, and belong to the period
in which they lie.
"""

import math
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache

from services.scheduler.domain.schedule.rrule_rule import Frequency, NthDay, Rule

LAST_YEAR = 9990
CYCLES = {Frequency.YEARLY: 400, Frequency.MONTHLY: 4_800, Frequency.WEEKLY: 20_871}
DAYS_IN_CYCLE = 146_097
REMEMBERED_PERIODS = 8
ONE_DAY = timedelta(days=1)


class Days:
    """The days that the parts BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY and BYDAY allow."""

    def __init__(self, rule: Rule) -> None:
        self._months = frozenset(rule.by_month)
        self._month_days = frozenset(rule.by_month_day)
        self._year_days = frozenset(rule.by_year_day)
        self._weeks = frozenset(rule.by_week_no)
        self._weekdays = frozenset(day.weekday for day in rule.by_day if not day.ordinal)
        self._nth_days = frozenset(day for day in rule.by_day if day.ordinal)
        self._counts_in_year = rule.freq is Frequency.YEARLY and not rule.by_month
        self._week_start = rule.week_start

    def __contains__(self, day: date) -> bool:
        if self._months and day.month not in self._months:
            return False
        if (self._weekdays or self._nth_days) and not self._is_weekday(day):
            return False
        if self._month_days and day.day not in self._month_days:
            left = day.day - days_in_month(day.year, day.month) - 1
            if left not in self._month_days:
                return False
        if self._year_days and not _either(self._year_days, day.timetuple().tm_yday, days_in_year(day.year)):
            return False
        return not self._weeks or _either(self._weeks, *week_of(day, self._week_start))

    def of_year(self, year: int) -> Iterator[date]:
        """Those of a year, rising."""
        for month in sorted(self._months) or range(1, 13):
            yield from self.of_month(year, month)

    def of_month(self, year: int, month: int) -> Iterator[date]:
        """Those of a month, rising."""
        if self._months and month not in self._months:
            return
        for number in range(1, days_in_month(year, month) + 1):
            day = date(year, month, number)
            if day in self:
                yield day

    def first_from(self, day: date) -> date | None:
        """The first one that is not before `day`, within one whole cycle of the calendar (400 years)."""
        if day in self:
            return day
        last = day.year + 400
        for year in range(day.year, min(last, LAST_YEAR) + 1):
            for month in sorted(self._months) or range(1, 13):
                if (year, month) >= (day.year, day.month):
                    for found in self.of_month(year, month):
                        if found >= day:
                            return found
        return None

    def _is_weekday(self, day: date) -> bool:
        weekday = day.weekday()
        if weekday in self._weekdays:
            return True
        if not self._nth_days:
            return False
        if self._counts_in_year:
            position, length = day.timetuple().tm_yday, days_in_year(day.year)
        else:
            position, length = day.day, days_in_month(day.year, day.month)
        before, after = (position - 1) // 7 + 1, -((length - position) // 7 + 1)
        return NthDay(before, weekday) in self._nth_days or NthDay(after, weekday) in self._nth_days


class Periods:
    """The periods of a rule that is daily or slower, as rising whole numbers; only every INTERVALth counts."""

    def __init__(self, rule: Rule, start: date) -> None:
        self._freq = rule.freq
        self._week_start = rule.week_start
        self._days = Days(rule)
        self._first = self._number(start)
        self._interval = rule.interval
        self._known: dict[int, list[date]] = {}
        cycle = CYCLES.get(rule.freq, DAYS_IN_CYCLE)
        self.most_empty = cycle // math.gcd(cycle, rule.interval)
        """After so many periods without an occurrence there is none any more: the calendar begins anew."""

    def numbers_from(self, day: date) -> Iterator[int]:
        """The periods that count, from the one on that holds `day`, to the end of all years."""
        steps = max(0, -((self._first - self._number(day)) // self._interval))
        number, last = self._first + steps * self._interval, self._number(date(LAST_YEAR, 12, 25))
        while number <= last:
            yield number
            number += self._interval

    def days(self, number: int) -> list[date]:
        """The days of a period that the rule means, rising. Remembers the last few."""
        if number not in self._known:
            if len(self._known) >= REMEMBERED_PERIODS:
                self._known.clear()
            self._known[number] = self._days_of(number)
        return self._known[number]

    def _days_of(self, number: int) -> list[date]:
        match self._freq:
            case Frequency.YEARLY:
                return list(self._days.of_year(number))
            case Frequency.MONTHLY:
                return list(self._days.of_month(number // 12, number % 12 + 1))
            case Frequency.WEEKLY:
                first = date.fromordinal(number * 7 + self._week_start + 1)
                return [day for day in (first + step * ONE_DAY for step in range(7)) if day in self._days]
            case _:
                day = date.fromordinal(number)
                return [day] if day in self._days else []

    def _number(self, day: date) -> int:
        match self._freq:
            case Frequency.YEARLY:
                return day.year
            case Frequency.MONTHLY:
                return day.year * 12 + day.month - 1
            case Frequency.WEEKLY:
                return (day.toordinal() - 1 - self._week_start) // 7
            case _:
                return day.toordinal()


@lru_cache(maxsize=4096)
def days_in_month(year: int, month: int) -> int:
    """How many days a month has."""
    following = date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
    return (following - date(year, month, 1)).days


def days_in_year(year: int) -> int:
    """How many days a year has."""
    return 366 if days_in_month(year, 2) == 29 else 365


def week_of(day: date, week_start: int) -> tuple[int, int]:
    """The number of the week of a day in its year, and how many weeks that year has; weeks begin on `week_start`."""
    middle = day + (3 - (day.weekday() - week_start) % 7) * ONE_DAY
    position, length = middle.timetuple().tm_yday, days_in_year(middle.year)
    number = (position - 1) // 7 + 1
    return number, number + (length - position) // 7


def _either(wanted: frozenset[int], number: int, count: int) -> bool:
    return number in wanted or number - count - 1 in wanted
