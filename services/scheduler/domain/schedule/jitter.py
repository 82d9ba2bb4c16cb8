"""Runs spread out, the same way every time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import blake2b

from services.scheduler.domain.identity import microseconds
from services.scheduler.domain.schedule.local_days import MICROSECOND
from services.scheduler.domain.schedule.sequence import Schedule, last_before

MILLISECOND = timedelta(milliseconds=1)
SCALE = 1 << 64


def delay(seed: str, moment: datetime, span: timedelta) -> timedelta:
    """A part of `span` that depends on seed and moment alone: whole milliseconds, less than `span`."""
    text = f"{seed}\n{microseconds(moment)}"
    number = int.from_bytes(blake2b(text.encode(), digest_size=8, person=b"chronos-jitter").digest(), "big")
    return (span // MILLISECOND) * number // SCALE * MILLISECOND


class JitteredSchedule(Schedule):
    """Each occurrence of another schedule, late by a part of `jitter`.

    Never as late as the next occurrence, nor as `allowed_until` (an occurrence, and the latest moment that is wanted),
    so the order stays and a delay leaves no window, no allowed day and no end time.
    """

    def __init__(
        self, schedule: Schedule, jitter: timedelta, seed: str, allowed_until: Callable[[datetime, datetime], datetime]
    ) -> None:
        self._schedule = schedule
        self._jitter = jitter
        self._seed = seed
        self._allowed_until = allowed_until
        self._last: tuple[datetime, datetime] | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        if self._last is not None and self._last[1] == moment:
            return self._fire(self._schedule.next_after(self._last[0]))
        # All but the last occurrence up to now fire before it.
        latest = last_before(self._schedule, moment + MICROSECOND, floor=moment - self._jitter - MICROSECOND)
        if latest is not None:
            fires = self._fire(latest)
            if fires is not None and fires > moment:
                return fires
        return self._fire(self._schedule.next_after(moment))

    def origin(self, fires: datetime) -> datetime:
        """The occurrence that runs at a moment."""
        if self._last is not None and self._last[1] == fires:
            return self._last[0]
        found = last_before(self._schedule, fires + MICROSECOND, floor=fires - self._jitter - MICROSECOND)
        return fires if found is None else found

    def _fire(self, occurrence: datetime | None) -> datetime | None:
        if occurrence is None:
            return None
        latest = occurrence + self._jitter
        following = self._schedule.next_after(occurrence)
        if following is not None:
            latest = min(latest, following)
        fires = occurrence + delay(self._seed, occurrence, self._allowed_until(occurrence, latest) - occurrence)
        self._last = (occurrence, fires)
        return fires
