"""The executions that ended here, or that their targets accepted, a short while ago."""

from collections import deque
from datetime import timedelta
from typing import NamedTuple

from libs.clock import Clock
from services.dispatcher.domain.execution import Status


class End(NamedTuple):
    """How an execution ended, and with which delivery."""

    status: Status
    delivery: int

    def counts_for(self, delivery: int) -> bool:
        """Whether the ledger takes it as the end of a delivery: it goes by the latest one, but for a success."""
        return self.status is Status.SUCCESS or delivery <= self.delivery


class RecentlyFinished:
    """How executions ended, for at least as long as `span` unless there are more than `limit`.

    RUNNING is for those that their targets have accepted. A scheduler that missed the end, since its stream was broken
    just then, learns it here instead of delivering again.
    """

    def __init__(self, clock: Clock, *, limit: int, span: timedelta) -> None:
        self._clock = clock
        self._limit = limit
        self._span_seconds = span.total_seconds()
        self._ends: dict[str, End] = {}
        self._order: deque[tuple[float, str]] = deque()

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, execution_id: str, end: End) -> None:
        """Remembers an end."""
        now = self._clock.monotonic()
        if execution_id not in self._ends:
            self._order.append((now, execution_id))
        self._ends[execution_id] = end
        while self._order and (len(self._ends) > self._limit or now - self._order[0][0] > self._span_seconds):
            del self._ends[self._order.popleft()[1]]

    def find(self, execution_id: str) -> End | None:
        """How it ended; None when that is not known here."""
        return self._ends.get(execution_id)
