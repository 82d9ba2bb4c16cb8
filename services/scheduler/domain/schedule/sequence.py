"""What every schedule can do."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta


class Schedule(ABC):
    """A rising sequence of moments. Immutable in what it answers; may remember answers."""

    @abstractmethod
    def next_after(self, moment: datetime) -> datetime | None:
        """The first occurrence later than `moment` (aware), in UTC; None when there is none any more.

        Takes bounded time, whatever the schedule.
        """

    def shift_note(self, moment: datetime) -> str:  # noqa: ARG002 - for those that shift
        """Why the occurrence at `moment` is not at its own wall time, in a sentence; empty when it is."""
        return ""

    def lost_after(self, moment: datetime) -> "Lost | None":  # noqa: ARG002 - for those that lose
        """The first wall time after `moment` that the clocks skip for good; None when there is none within 2 years."""
        return None


class Lost:
    """A wall time that does not exist and does not run. `at` is the instant of the gap in UTC."""

    __slots__ = ("at", "note")

    def __init__(self, at: datetime, note: str) -> None:
        self.at = at
        self.note = note


def last_before(schedule: Schedule, limit: datetime, *, floor: datetime) -> datetime | None:
    """The last occurrence before `limit` and after `floor`, in logarithmically many steps."""
    span = timedelta(seconds=1)
    low, high = max(limit - span, floor), limit
    while not _has_between(schedule, low, limit):
        if low <= floor:
            return None
        span *= 2
        low, high = max(limit - span, floor), low
    while True:  # an occurrence lies in (low, limit), none in (high, limit)
        found = schedule.next_after(low)
        if found is None or not _has_between(schedule, found, limit):
            return found
        middle = max(found, low + (high - low) / 2)
        if _has_between(schedule, middle, limit):
            low = middle
        else:
            low, high = found, middle


def last_of(schedule: Schedule, limit: datetime, *, floor: datetime, most: int) -> Sequence[datetime]:
    """The last `most` occurrences before `limit` and after `floor`, oldest first; looks back twice as far each time."""
    span = timedelta(minutes=1)
    while True:
        begin = max(limit - span, floor)
        found: deque[datetime] = deque(maxlen=most)
        moment = schedule.next_after(begin)
        while moment is not None and moment < limit:
            found.append(moment)
            moment = schedule.next_after(moment)
        if len(found) == most or begin <= floor:
            return list(found)
        span *= 2


def _has_between(schedule: Schedule, after: datetime, limit: datetime) -> bool:
    found = schedule.next_after(after)
    return found is not None and found < limit
