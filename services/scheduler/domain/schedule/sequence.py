"""What every schedule can do."""

from abc import ABC, abstractmethod
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
    """The last occurrence before `limit` and after `floor`, found by looking back twice as far each time."""
    span = timedelta(seconds=1)
    while True:
        start = max(limit - span, floor)
        found = schedule.next_after(start)
        if found is not None and found < limit:
            while (following := schedule.next_after(found)) is not None and following < limit:
                found = following
            return found
        if start <= floor:
            return None
        span *= 2
