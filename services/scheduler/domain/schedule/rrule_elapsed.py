"""The instants of rules that are hourly or faster: INTERVAL counts elapsed time, BY parts look at the wall clock.

So `FREQ=HOURLY;INTERVAL=2` runs every 7,200 s whatever the clocks do, and `FREQ=MINUTELY;BYHOUR=2` runs in every
minute in which a clock on the wall shows 02: in both hours when the clocks repeat it, in none when they skip it.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.rrule_days import LAST_YEAR, Days
from services.scheduler.domain.schedule.rrule_rule import Frequency, Rule

SECONDS = {Frequency.HOURLY: 3600, Frequency.MINUTELY: 60, Frequency.SECONDLY: 1}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LAST_MOMENT = datetime(LAST_YEAR, 12, 25, tzinfo=UTC)
MOST_EMPTY = 20_000
"""After so many periods looked at without an occurrence the rule counts as ended. Whole days, hours and minutes that
cannot match are passed over in one step."""


class ElapsedRule:
    """The instants of a sub-daily rule from a start on. A period is an hour, a minute or a second.

    Moments are whole seconds since 1970 inside.
    """

    def __init__(self, rule: Rule, start: datetime, zone: ZoneInfo, *, until: datetime | None = None) -> None:
        self._rule = rule
        self._zone = zone
        self._days = Days(rule)
        self._unit = SECONDS[rule.freq]
        self._step = self._unit * rule.interval
        self._start = _seconds(start)
        self._limit = _seconds(LAST_MOMENT if until is None else until)
        wall = self._wall(self._start)
        self._lead = (wall.minute * 60 + wall.second) % self._unit
        self._first = self._start - self._lead
        self._last: int | None = None

    def instants_from(self, instant: datetime) -> Iterator[datetime]:
        """Its instants in UTC that are not before `instant`, rising.

        Goes straight to the period of `instant`; only a rule with COUNT is counted out from its start, once.
        """
        for found in self._uncounted(max(_seconds(instant), self._start)):
            if self._rule.count and found > self._last_counted():
                return
            yield EPOCH + found * SECOND

    def _last_counted(self) -> int:
        if self._last is None:
            last = self._start
            for found in islice(self._uncounted(self._start), self._rule.count):
                last = found
            self._last = last
        return self._last

    def _uncounted(self, moment: int) -> Iterator[int]:
        number, empty = max(0, (moment - self._first) // self._step), 0
        while (begin := self._first + number * self._step) <= self._limit:
            number += 1
            if found := self._of_period(begin):
                yield from (each for each in found if moment <= each <= self._limit)
                empty = 0
                continue
            empty += 1
            following = self._following(begin)
            if following is None or empty >= MOST_EMPTY:
                return
            number = max(number, (following - self._unit - self._first) // self._step + 1)

    def _of_period(self, begin: int) -> list[int]:
        wall, end = self._wall(begin), self._wall(begin + self._unit - 1)
        is_plain = wall.utcoffset() == end.utcoffset() and (wall.minute * 60 + wall.second) % self._unit == 0
        if is_plain and not self._is_day_and_hour(wall):
            return []
        seconds = self._within(self._rule.by_second, self._lead % 60, is_plain) if self._unit > 1 else [0]
        minutes = self._within(self._rule.by_minute, self._lead // 60, is_plain) if self._unit > 60 else [0]
        candidates = (begin + minute * 60 + second for minute in minutes for second in seconds)
        found = [each for each in candidates if self._is_meant(self._wall(each))]
        if not self._rule.by_set_pos:
            return found
        places = {place - 1 if place > 0 else len(found) + place for place in self._rule.by_set_pos}
        return [found[place] for place in sorted(places) if 0 <= place < len(found)]

    def _within(self, wanted: tuple[int, ...], lead: int, is_plain: bool) -> Iterable[int]:
        if not wanted:
            return (lead,)
        return wanted if is_plain else range(60)

    def _is_day_and_hour(self, wall: datetime) -> bool:
        return wall.date() in self._days and (not self._rule.by_hour or wall.hour in self._rule.by_hour)

    def _is_meant(self, wall: datetime) -> bool:
        return (
            self._is_day_and_hour(wall)
            and (not self._rule.by_minute or wall.minute in self._rule.by_minute)
            and (not self._rule.by_second or wall.second in self._rule.by_second)
        )

    def _following(self, begin: int) -> int | None:
        """No occurrence lies after `begin` and before this; None when there is none any more."""
        wall = self._wall(begin)
        day = self._days.first_from(wall.date())
        if day is None:
            return None
        if day > wall.date():
            return _seconds(datetime(day.year, day.month, day.day, tzinfo=self._zone))
        for wanted, shown, unit, size in (
            (self._rule.by_hour, wall.hour, 3600, 24),
            (self._rule.by_minute, wall.minute, 60, 60),
            (self._rule.by_second, wall.second, 1, 60),
        ):
            if wanted and shown not in wanted:
                passed = (wall.minute * 60 + wall.second) % unit
                following = next((each for each in wanted if each > shown), size)
                return self._without_change(begin, [(following - shown) * unit - passed, unit - passed])
        return begin + 1

    def _without_change(self, begin: int, leaps: list[int]) -> int:
        """The end of the first leap during which the clocks do not change."""
        offset = self._wall(begin).utcoffset()
        return next((begin + leap for leap in leaps if self._wall(begin + leap).utcoffset() == offset), begin + 1)

    def _wall(self, moment: int) -> datetime:
        return datetime.fromtimestamp(moment, self._zone)


def _seconds(moment: datetime) -> int:
    return -((EPOCH - moment) // SECOND)
