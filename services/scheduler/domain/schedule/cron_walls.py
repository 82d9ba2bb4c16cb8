"""The wall times of a cron expression, found by jumping from field to field."""

from datetime import datetime

from services.scheduler.domain.schedule.cron_days import Shape, shape_of
from services.scheduler.domain.schedule.cron_text import CronFields
from services.scheduler.domain.schedule.zones import LAST_YEAR

LONGEST_WAIT = 41
"""Years. No two dates of one expression lie further apart: a weekday comes back to 29 February after 40 years at most,
when a century without a leap day (2100) lies between."""


class CronWalls:
    """A rising sequence of naive wall times. Months of one shape share a mask of days, worked out once."""

    __slots__ = ("_fields", "_first_time", "_shapes")

    def __init__(self, fields: CronFields) -> None:
        self._fields = fields
        self._shapes: dict[Shape, int] = {}
        self._first_time = _lowest(fields.hours), _lowest(fields.minutes), _lowest(fields.seconds)

    def first_at(self, wall: datetime) -> datetime | None:
        """The first wall time not before `wall` (whole seconds); None after the last year."""
        day = wall.day
        days = self._days(wall.year, wall.month)
        if days >> day & 1:
            time = self._time_at(wall.hour, wall.minute, wall.second)
            if time is not None:
                return datetime(wall.year, wall.month, day, *time)  # noqa: DTZ001 - a wall time
        later = days >> day + 1
        if later:
            return self._begin(wall.year, wall.month, day + 1 + _lowest(later))
        return self._in_later_month(wall.year, wall.month)

    def _in_later_month(self, year: int, month: int) -> datetime | None:
        limit = min(year + LONGEST_WAIT, LAST_YEAR)
        while True:
            months = self._fields.months >> month + 1
            if months:
                month += 1 + _lowest(months)
            else:
                year, month = year + 1, _lowest(self._fields.months)
            if year > limit:
                return None
            days = self._days(year, month)
            if days:
                return self._begin(year, month, _lowest(days))

    def _time_at(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        fields = self._fields
        if fields.hours >> hour & 1:
            if fields.minutes >> minute & 1:
                seconds = fields.seconds >> second
                if seconds:
                    return hour, minute, second + _lowest(seconds)
            minutes = fields.minutes >> minute + 1
            if minutes:
                return hour, minute + 1 + _lowest(minutes), self._first_time[2]
        hours = fields.hours >> hour + 1
        if hours:
            return hour + 1 + _lowest(hours), self._first_time[1], self._first_time[2]
        return None

    def _begin(self, year: int, month: int, day: int) -> datetime:
        return datetime(year, month, day, *self._first_time)  # noqa: DTZ001 - a wall time

    def _days(self, year: int, month: int) -> int:
        if not self._fields.months >> month & 1:
            return 0
        shape = shape_of(year, month)
        days = self._shapes.get(shape)
        if days is None:
            days = self._shapes[shape] = self._fields.days.in_month(shape)
        return days


def _lowest(mask: int) -> int:
    """The number of the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1
