"""A begin, an end, and a number of runs."""

from datetime import datetime

from services.scheduler.domain.schedule.local_days import MICROSECOND
from services.scheduler.domain.schedule.sequence import Lost, Schedule


class BoundedSchedule(Schedule):
    """The occurrences from `start` on (inclusive) and before `end`; None means no bound."""

    __slots__ = ("_end", "_floor", "_schedule")

    def __init__(self, schedule: Schedule, start: datetime | None, end: datetime | None) -> None:
        self._schedule = schedule
        self._floor = start - MICROSECOND if start is not None else None
        self._end = end

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        if self._floor is not None and moment < self._floor:
            moment = self._floor
        found = self._schedule.next_after(moment)
        return None if found is None or (self._end is not None and found >= self._end) else found

    def shift_note(self, moment: datetime) -> str:
        """See Schedule."""
        return self._schedule.shift_note(moment)

    def lost_after(self, moment: datetime) -> Lost | None:
        """See Schedule."""
        if self._floor is not None and moment < self._floor:
            moment = self._floor
        lost = self._schedule.lost_after(moment)
        return None if lost is None or (self._end is not None and lost.at >= self._end) else lost


class LimitedSchedule(Schedule):
    """The first `limit` occurrences after `counts_from`; those until then are not touched.

    Counts each occurrence once, however often it is asked: `limit` steps at most in the life of the object.
    """

    __slots__ = ("_counted", "_counts_from", "_last", "_left", "_schedule")

    def __init__(self, schedule: Schedule, limit: int, counts_from: datetime) -> None:
        self._schedule = schedule
        self._counts_from = counts_from
        self._left = limit
        self._last: datetime | None = counts_from

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        return None if self.is_spent(moment) else self._schedule.next_after(moment)

    def is_spent(self, moment: datetime) -> bool:
        """Whether all of them lie before `moment`, or at it."""
        if moment < self._counts_from:
            return False
        while self._left > 0 and self._last is not None and self._last <= moment:
            following = self._schedule.next_after(self._last)
            if following is None or following > moment:
                return False
            self._last = following
            self._left -= 1
        return self._left <= 0 and self._last is not None and self._last <= moment

    def shift_note(self, moment: datetime) -> str:
        """See Schedule."""
        return self._schedule.shift_note(moment)
