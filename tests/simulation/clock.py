"""The clocks of a simulated world: one true time, and what each machine believes it is."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from libs.clock import SystemClock

MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class TrueTime:
    """When the world began, and how wrong the wall clock of each node is."""

    start: datetime
    errors: dict[str, timedelta] = field(default_factory=dict)

    def now(self) -> datetime:
        """The moment that it really is, aware, in UTC."""
        return self.start + timedelta(microseconds=round(asyncio.get_running_loop().time() * 1e6))

    def now_us(self) -> int:
        """The same in microseconds since the Unix epoch."""
        return (self.now() - EPOCH) // MICROSECOND

    def clock_of(self, node: str) -> "NodeClock":
        """The clock of a node, as wrong as `errors` says at each moment."""
        return NodeClock(lambda: self.now() + self.errors.get(node, timedelta(0)))


class NodeClock(SystemClock):
    """A machine's clock. `monotonic` and sleeping follow the loop's time; only the wall clock is wrong."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def now(self) -> datetime:
        """See Clock."""
        return self._now()

    def monotonic(self) -> float:
        """See Clock."""
        return asyncio.get_running_loop().time()


EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
