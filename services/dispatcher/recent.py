"""The executions that ended here a short while ago."""

from collections import OrderedDict
from datetime import timedelta

from libs.clock import Clock
from services.dispatcher.domain.execution import Status


class RecentlyFinished:
    """How executions ended, for at least as long as `span` unless there are more than `limit`.

    A scheduler that missed the end, since its stream was broken just then, learns it here instead of delivering again.
    """

    def __init__(self, clock: Clock, *, limit: int, span: timedelta) -> None:
        self._clock = clock
        self._limit = limit
        self._span_seconds = span.total_seconds()
        self._ends: OrderedDict[str, tuple[Status, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, execution_id: str, status: Status) -> None:
        """Remembers an end."""
        now = self._clock.monotonic()
        self._ends[execution_id] = (status, now)
        while self._ends and (len(self._ends) > self._limit or self._age_of_oldest(now) > self._span_seconds):
            self._ends.popitem(last=False)

    def find(self, execution_id: str) -> Status | None:
        """How it ended; None when that is not known here."""
        end = self._ends.get(execution_id)
        return end[0] if end else None

    def _age_of_oldest(self, now: float) -> float:
        return now - next(iter(self._ends.values()))[1]
