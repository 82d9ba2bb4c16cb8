"""Days on which a job may not run, and where its runs of such days go."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.local_days import DAY, MICROSECOND, day_of, day_start, instant_of, pieces
from services.scheduler.domain.schedule.removed import RemovalCode, Removed, stretch
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import Roll

LONGEST_ROLL = 31
LONGEST_SEARCH = timedelta(days=28 * 366)
FARTHEST_LOOK = timedelta(days=2 * 366)
MOST_STEPS = 20_000
LAST_DAY = date(9990, 1, 1)
NamedDays = Sequence[tuple[str, DaySet]]


class AllowedDays:
    """The days that one of `include` (if there is any) and none of `exclude` holds."""

    __slots__ = ("_exclude", "_include", "_known")

    def __init__(self, include: NamedDays, exclude: NamedDays) -> None:
        self._include = tuple(include)
        self._exclude = tuple(exclude)
        self._known: dict[date, bool] = {}

    def __contains__(self, day: date) -> bool:
        known = self._known.get(day)
        if known is None:
            if len(self._known) > MOST_STEPS:
                self._known.clear()
            known = self._known[day] = self._allows(day)
        return known

    def _allows(self, day: date) -> bool:
        if any(day in days for _, days in self._exclude):
            return False
        return not self._include or any(day in days for _, days in self._include)

    def why_not(self, day: date) -> str:
        """Which calendar keeps a day from being allowed."""
        for name, days in self._exclude:
            if day in days:
                return f"calendar {name} excludes {day.isoformat()}"
        names = [name for name, _ in self._include]
        if len(names) == 1:
            return f"calendar {names[0]} does not include {day.isoformat()}"
        return f"none of the calendars {', '.join(names)} includes {day.isoformat()}"

    def cause(self, day: date) -> str:
        """The name of the calendar that does not allow a day; of several that should include it, the first."""
        return next((name for name, days in self._exclude if day in days), "") or self._include[0][0]

    def next_after(self, day: date, *, is_allowed: bool, before: date) -> date | None:
        """The first day after `day` and before another one that is allowed, or is not."""
        day += DAY
        before = min(before, LAST_DAY)
        while day < before:
            if (day in self) == is_allowed:
                return day
            day += DAY
        return None


class CalendarSchedule(Schedule):
    """The occurrences of another schedule on allowed days, and those of other days as `roll` says.

    A rolled occurrence keeps its wall time; one that lands on another merges with it. A time that the clock skips on
    the new day means the instant of the jump, one that it shows twice the first. None when no occurrence is left within
    28 years of the first one looked at.
    """

    def __init__(
        self,
        schedule: Schedule,
        days: AllowedDays,
        roll: Roll,
        zone: ZoneInfo,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> None:
        """A run that would roll across `start` or `end` does not run. `schedule` stays within them already."""
        self._schedule = schedule
        self._days = days
        self._roll = roll
        self._zone = zone
        self._start = start
        self._end = end

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        day = day_of(moment, self._zone)
        if self._roll is not Roll.SKIP and day in self._days:
            found = self._first_on(day, moment)
            if found is not None:
                return found
            moment = max(moment, day_start(day + DAY, self._zone) - MICROSECOND)
        cursor = moment if self._roll is Roll.SKIP else self._sources_begin(day, moment)
        limit: datetime | None = None
        for _ in range(MOST_STEPS):
            source = self._schedule.next_after(cursor)
            if source is None or (limit is not None and source > limit):
                return None
            limit = limit or later(source, LONGEST_SEARCH)
            day = day_of(source, self._zone)
            if self._roll is Roll.SKIP and day in self._days:
                return source
            target = self.target(day)
            if target is not None and self._roll is not Roll.SKIP:
                found = self._first_on(target, moment)
                if found is not None:
                    return found
            following = self._next_source_day(day, limit)
            if following is None:
                return None
            cursor = max(cursor, day_start(following, self._zone) - MICROSECOND)
        return None

    def target(self, day: date) -> date | None:
        """The day on which the occurrences of a day run; None when they do not."""
        if day in self._days:
            return day
        if self._roll is Roll.SKIP:
            return None
        step = DAY if self._roll is Roll.NEXT_BUSINESS_DAY else -DAY
        for count in range(1, LONGEST_ROLL + 1):
            if (found := day + count * step) in self._days:
                return found
        return None

    def sources(self, moment: datetime) -> list[datetime]:
        """The occurrences that run at `moment`, their own time first."""
        day = day_of(moment, self._zone)
        found = [moment] if self._schedule.next_after(moment - MICROSECOND) == moment else []
        for source_day in self._run_of(day):
            for begin, end in self._kept_pieces(source_day, day):
                source = self._first_moving_past(begin, end, day, moment - MICROSECOND)
                if source is not None and self._moved(source, day) == moment:
                    found.append(source)
        return found

    def why_not(self, day: date) -> str:
        """Which calendar keeps a day from being allowed."""
        return self._days.why_not(day)

    def cause(self, day: date) -> str:
        """The name of the calendar that does not allow a day."""
        return self._days.cause(day)

    def allows(self, day: date) -> bool:
        """Whether runs may be on a day."""
        return day in self._days

    def shift_note(self, moment: datetime) -> str:
        """See Schedule."""
        return self._schedule.shift_note(moment)

    def removed_after(self, moment: datetime, limit: datetime) -> Removed | None:
        """The next day's occurrences that do not run, if they begin after `moment` and before `limit`."""
        cursor = day_start(day_of(moment, self._zone), self._zone) - MICROSECOND
        for _ in range(MOST_STEPS):
            source = self._schedule.next_after(cursor)
            if source is None or source >= limit:
                return None
            day = day_of(source, self._zone)
            if day in self._days:
                following = self._days.next_after(day, is_allowed=False, before=day_of(limit, self._zone) + DAY)
                if following is None:
                    return None
                cursor = day_start(following, self._zone) - MICROSECOND
                continue
            for removed in self._removed_on(day):
                if removed.first > moment:
                    return removed if removed.first < limit else None
            cursor = day_start(day + DAY, self._zone) - MICROSECOND
        return None

    def _removed_on(self, day: date) -> Iterator[Removed]:
        reason = self._days.why_not(day)
        target = self.target(day)
        begin, end = day_start(day, self._zone), day_start(day + DAY, self._zone)
        parts = [(begin, end)]
        if target is not None:
            kept_begin, kept_end = self._kept_part(day, target)
            parts = [(begin, kept_begin), (max(kept_end, kept_begin), end)]
            reason += f", and {target.isoformat()} is out of start_time and end_time at that time of day"
        elif self._roll is not Roll.SKIP:
            which = "follows" if self._roll is Roll.NEXT_BUSINESS_DAY else "precedes"
            reason += f", and no allowed day {which} within {LONGEST_ROLL} days"
        for first, last in parts:
            found = self._schedule.next_after(first - MICROSECOND)
            if found is not None and found < last:
                yield stretch(self._schedule, found, last, RemovalCode.CALENDAR, reason)

    def _first_on(self, day: date, after: datetime) -> datetime | None:
        """The first occurrence after a moment that runs on an allowed day."""
        begin, end = day_start(day, self._zone), day_start(day + DAY, self._zone)
        found = self._schedule.next_after(max(after, begin - MICROSECOND))
        best = found if found is not None and found < end else None
        for source_day in self._run_of(day):
            for first, last in self._kept_pieces(source_day, day):
                source = self._first_moving_past(first, last, day, after)
                if source is not None:
                    moved = self._moved(source, day)
                    best = moved if best is None else min(best, moved)
        return best

    def _run_of(self, day: date) -> Sequence[date]:
        """The days that are not allowed whose occurrences run on an allowed day."""
        if self._roll is Roll.SKIP:
            return ()
        step = -DAY if self._roll is Roll.NEXT_BUSINESS_DAY else DAY
        found: list[date] = []
        for count in range(1, LONGEST_ROLL + 1):
            if (other := day + count * step) in self._days:
                break
            found.append(other)
        return found

    def _first_moving_past(self, begin: datetime, end: datetime, target: date, after: datetime) -> datetime | None:
        """Of a stretch without jumps of the clock, the first occurrence that lands on `target` after a moment."""
        source = self._schedule.next_after(begin - MICROSECOND)
        if source is None or source >= end:
            return None
        if self._moved(source, target) > after:
            return source
        # Wall times rise with instants on both days: look from the wall time that `after` has.
        low, high = source, end
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) / 2
            if self._moved(middle, target) > after:
                high = middle
            else:
                low = middle
        source = self._schedule.next_after(low)
        while source is not None and source < end and self._moved(source, target) <= after:
            source = self._schedule.next_after(source)
        return source if source is not None and source < end else None

    def _moved(self, source: datetime, target: date) -> datetime:
        wall = source.astimezone(self._zone).time()
        return instant_of(target, wall.replace(fold=0), self._zone)

    def _kept_pieces(self, day: date, target: date) -> Sequence[tuple[datetime, datetime]]:
        begin, end = self._kept_part(day, target)
        parts = ((max(first, begin), min(last, end)) for first, last in pieces(day, self._zone))
        return [(first, last) for first, last in parts if first < last]

    def _kept_part(self, day: date, target: date) -> tuple[datetime, datetime]:
        """The part of a day whose times of day lie, on `target`, within start and end."""
        begin, end = day_start(day, self._zone), day_start(day + DAY, self._zone)
        if self._start is not None and self._start > day_start(target, self._zone):
            begin = self._mirrored(self._start, target, day)
        if self._end is not None and self._end < day_start(target + DAY, self._zone):
            end = self._mirrored(self._end, target, day)
        return begin, end

    def _mirrored(self, bound: datetime, target: date, day: date) -> datetime:
        local = bound.astimezone(self._zone)
        if local.date() < target:
            return day_start(day, self._zone)
        if local.date() > target:
            return day_start(day + DAY, self._zone)
        return instant_of(day, local.time().replace(fold=0), self._zone)

    def _sources_begin(self, day: date, moment: datetime) -> datetime:
        """Just before the first occurrence that can run on a day after `day`."""
        first = day + DAY
        if self._roll is Roll.NEXT_BUSINESS_DAY:
            while first - DAY not in self._days and (day - first).days < LONGEST_ROLL:
                first -= DAY
        return min(moment, day_start(first, self._zone) - MICROSECOND)

    def _next_source_day(self, day: date, limit: datetime) -> date | None:
        """The next day whose occurrences may run, after a day that has given nothing."""
        before = day_of(limit, self._zone) + DAY
        found = self._days.next_after(day, is_allowed=True, before=before)
        if found is None:
            return None
        if self._roll is Roll.NEXT_BUSINESS_DAY:
            return max(day + DAY, found - LONGEST_ROLL * DAY)
        return found


def later(moment: datetime, span: timedelta) -> datetime:
    """A moment and a span, at most the end of the calendar."""
    return moment + span if moment.year + span.days // 365 < LAST_DAY.year else moment.replace(year=LAST_DAY.year)
