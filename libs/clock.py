"""Time, injected: the only place that reads a clock or sleeps."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What code that depends on time is given."""

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC. May jump."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment. Never jumps back; the base for deadlines and leases."""

    async def sleep(self, span: timedelta) -> None:
        """Waits; a span that is not positive yields to other tasks once."""

    async def sleep_until(self, when: datetime) -> None:
        """Waits until the wall clock shows `when`, also when the clock is set meanwhile."""

    async def wait(self, event: asyncio.Event, span: timedelta) -> None:
        """Waits until an event is set, and sets it itself when a span has passed. Costs a timer, and no task."""


class SystemClock:
    """The machine's clock."""

    LONGEST_NAP = timedelta(seconds=1)

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    async def sleep(self, span: timedelta) -> None:
        """See Clock."""
        await asyncio.sleep(max(0.0, span.total_seconds()))

    async def sleep_until(self, when: datetime) -> None:
        """See Clock. Looks again at least once a second, so that a clock that is set is noticed."""
        while (left := when - self.now()) > timedelta(0):
            await self.sleep(min(left, self.LONGEST_NAP))

    async def wait(self, event: asyncio.Event, span: timedelta) -> None:
        """See Clock."""
        timer = asyncio.get_running_loop().call_later(max(0.0, span.total_seconds()), event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()
