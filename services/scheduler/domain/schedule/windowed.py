"""The occurrences that windows let through."""

from datetime import datetime
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.local_days import DAY, MICROSECOND, day_of, day_start
from services.scheduler.domain.schedule.removed import RemovalCode, Removed, stretch
from services.scheduler.domain.schedule.roll import LONGEST_SEARCH, MOST_STEPS, later
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.windows import Windows

MOST_CLOSED = 2000


class WindowedSchedule(Schedule):
    """The occurrences of another schedule at which the windows allow a run.

    Jumps over closed stretches. None when no occurrence is left within 28 years of the first one looked at, or behind
    2,000 closed stretches that had some: windows repeat every week, so what is not found by then is not there.
    """

    def __init__(self, schedule: Schedule, windows: Windows, zone: ZoneInfo) -> None:
        self._schedule = schedule
        self._windows = windows
        self._zone = zone

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        limit: datetime | None = None
        for _ in range(MOST_CLOSED):
            found = self._schedule.next_after(moment)
            if found is None or (limit is not None and found > limit):
                return None
            verdict = self._windows.at(found)
            if not verdict.reason:
                return found
            if verdict.until is None:
                return None
            limit = limit or later(found, LONGEST_SEARCH)
            moment = verdict.until - MICROSECOND
        return None

    def why_not(self, instant: datetime) -> str:
        """Which window keeps a run from an instant; empty when none does."""
        return self._windows.at(instant).reason

    def allowed_until(self, instant: datetime, limit: datetime) -> datetime:
        """The first instant after an allowed one at which no run is allowed, at most `limit`."""
        while instant < limit:
            verdict = self._windows.at(instant)
            if verdict.reason:
                return instant
            if verdict.until is None:
                break
            instant = verdict.until
        return limit

    def removed_after(self, moment: datetime, limit: datetime) -> Removed | None:
        """The next occurrences of one day that one window removes, if they begin after `moment` and before `limit`."""
        cursor = day_start(day_of(moment, self._zone), self._zone) - MICROSECOND
        for _ in range(MOST_STEPS):
            found = self._schedule.next_after(cursor)
            if found is None or found >= limit:
                return None
            verdict = self._windows.at(found)
            if not verdict.reason:
                if verdict.until is None:
                    return None
                cursor = verdict.until - MICROSECOND
                continue
            end = self._end_of(found, verdict.reason)
            if found > moment:
                return stretch(self._schedule, found, end, RemovalCode.WINDOW, verdict.reason)
            cursor = end - MICROSECOND
        return None

    def _end_of(self, first: datetime, reason: str) -> datetime:
        """Where occurrences that one window removes are followed by others, or by midnight."""
        midnight = day_start(day_of(first, self._zone) + DAY, self._zone)
        instant = first
        for _ in range(MOST_STEPS):
            verdict = self._windows.at(instant)
            if verdict.reason != reason or verdict.until is None:
                return instant if verdict.reason != reason else midnight
            following = self._schedule.next_after(verdict.until - MICROSECOND)
            if following is None or following >= midnight:
                return midnight
            instant = following
        return midnight
