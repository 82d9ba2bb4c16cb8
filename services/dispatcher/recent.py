"""The executions that ended here, or that their targets accepted, a short while ago."""

from collections import deque
from datetime import timedelta

from libs.clock import Clock
from services.dispatcher.domain.execution import Status


class RecentlyFinished:
    """How executions ended, for at least as long as `span` unless there are more than `limit`.

    RUNNING is for those that their targets have accepted. A scheduler that missed the end, since its stream was broken
    just then, learns it here instead of delivering again.
    """

    def __init__(self, clock: Clock, *, limit: int, span: timedelta) -> None:
        self._clock = clock
        self._limit = limit
        self._span_seconds = span.total_seconds()
        self._ends: dict[str, Status] = {}
        self._order: deque[tuple[float, str]] = deque()

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, execution_id: str, status: Status) -> None:
        """Remembers an end."""
        now = self._clock.monotonic()
        if execution_id not in self._ends:
            self._order.append((now, execution_id))
        self._ends[execution_id] = status
        while self._order and (len(self._ends) > self._limit or now - self._order[0][0] > self._span_seconds):
            del self._ends[self._order.popleft()[1]]

    def find(self, execution_id: str) -> Status | None:
        """How it ended; None when that is not known here."""
        return self._ends.get(execution_id)
