"""A clock that moves only when told."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Time stands still until `advance`; sleepers wake in order as it passes them."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._counter = 0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, span: timedelta) -> None:
        if span <= timedelta(0):
            await asyncio.sleep(0)
            return
        self._counter += 1
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + span.total_seconds(), self._counter, future))
        await future

    async def sleep_until(self, when: datetime) -> None:
        while (left := when - self._now) > timedelta(0):
            await self.sleep(left)

    async def wait(self, event: asyncio.Event, span: timedelta) -> None:
        self._counter += 1
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer.add_done_callback(lambda _: event.set() if not timer.cancelled() else None)
        heapq.heappush(self._sleepers, (self._elapsed + max(0.0, span.total_seconds()), self._counter, timer))
        try:
            await event.wait()
        finally:
            timer.cancel()

    async def advance(self, span: timedelta) -> None:
        """Moves time on, waking every sleeper at its own moment and letting it run."""
        await self._settle()
        end = self._elapsed + span.total_seconds()
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, future = heapq.heappop(self._sleepers)
            self._move_to(moment)
            if not future.done():
                future.set_result(None)
            await self._settle()
        self._move_to(end)
        await self._settle()

    @property
    def sleeping(self) -> int:
        """Those who wait for time to pass."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def jump(self, span: timedelta) -> None:
        """Sets the wall clock without time passing, as an administrator would."""
        self._now += span

    def _move_to(self, moment: float) -> None:
        self._now += timedelta(seconds=moment - self._elapsed)
        self._elapsed = moment

    @staticmethod
    async def _settle() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
