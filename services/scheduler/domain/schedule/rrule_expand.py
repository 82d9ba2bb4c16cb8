"""The wall times of rules that are daily or slower: no zone, no change of the clocks."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time
from itertools import islice

from services.scheduler.domain.schedule.rrule_days import Periods
from services.scheduler.domain.schedule.rrule_rule import Frequency, NthDay, Rule


class WallRule:
    """The wall times of a rule that starts at a wall time, which is one of them only if the rule means it."""

    def __init__(self, rule: Rule, start: datetime, *, until: datetime | None = None) -> None:
        rule = with_defaults(rule, start)
        self._start = start
        self._until = until
        self._count = rule.count
        self._positions = rule.by_set_pos
        self._periods = Periods(rule, start.date())
        self._times = tuple(
            time(hour, minute, second)
            for hour in rule.by_hour
            for minute in rule.by_minute
            for second in rule.by_second
        )
        self._last: datetime | None = None

    def walls_from(self, wall: datetime) -> Iterator[datetime]:
        """Its wall times that are not before `wall`, rising.

        Goes straight to the period of `wall`; only a rule with COUNT is counted out from its start, once.
        """
        if self._until is not None and wall > self._until:
            return
        for found in self._uncounted(max(wall, self._start)):
            if (self._until is not None and found > self._until) or (self._count and found > self._last_counted()):
                return
            yield found

    def _last_counted(self) -> datetime:
        if self._last is None:
            for found in islice(self._uncounted(self._start), self._count):
                self._last = found
        return self._last or self._start

    def _uncounted(self, wall: datetime) -> Iterator[datetime]:
        empty = 0
        for number in self._periods.numbers_from(wall.date()):
            empty += 1
            days = self._periods.days(number)
            for found in self._chosen(days) if self._positions else self._all(days, wall):
                empty = 0
                if found >= wall:
                    yield found
            if empty > self._periods.most_empty:
                return

    def _all(self, days: list[date], wall: datetime) -> Iterator[datetime]:
        return (
            datetime.combine(day, clock) for day in days if day >= wall.date() for clock in self._times_from(day, wall)
        )

    def _times_from(self, day: date, wall: datetime) -> Iterator[time]:
        first = bisect_left(self._times, wall.time()) if day == wall.date() else 0
        return islice(self._times, first, None)

    def _chosen(self, days: list[date]) -> list[datetime]:
        total, size = len(days) * len(self._times), len(self._times)
        places = {place - 1 if place > 0 else total + place for place in self._positions}
        return [
            datetime.combine(days[place // size], self._times[place % size])
            for place in sorted(places)
            if 0 <= place < total
        ]


class WallList:
    """Wall times one by one: RDATEs."""

    def __init__(self, walls: list[datetime]) -> None:
        self._walls = sorted(set(walls))

    def walls_from(self, wall: datetime) -> Iterator[datetime]:
        """Those that are not before `wall`, rising."""
        return (found for found in self._walls if found >= wall)


def with_defaults(rule: Rule, start: datetime) -> Rule:
    """The rule with what it does not say taken from its start: the time of day, and the day of the period.

    BYWEEKNO without BYDAY means the weekday of the start, as RFC 5545 has it.
    """
    if not rule.freq.is_sub_daily:
        rule = replace(
            rule,
            by_hour=rule.by_hour or (start.hour,),
            by_minute=rule.by_minute or (start.minute,),
            by_second=rule.by_second or (start.second,),
        )
    if rule.by_day or rule.by_month_day or rule.by_year_day:
        return rule
    if rule.freq is Frequency.WEEKLY or rule.by_week_no:
        return replace(rule, by_day=(NthDay(0, start.weekday()),))
    if rule.freq is Frequency.YEARLY:
        return replace(rule, by_month=rule.by_month or (start.month,), by_month_day=(start.day,))
    return replace(rule, by_month_day=(start.day,)) if rule.freq is Frequency.MONTHLY else rule
