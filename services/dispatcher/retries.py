"""Executions that wait for their next attempt. Waiting holds nothing but memory."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import timedelta

from libs.clock import Clock
from services.dispatcher.held import Held, Stage

TICK = timedelta(milliseconds=10)
SWEEP_INTERVAL = 10.0


class Retries:
    """A heap of due times. `requeue` is called with each execution whose time has come."""

    def __init__(self, requeue: Callable[[Held], None], clock: Clock) -> None:
        self._requeue = requeue
        self._clock = clock
        self._heap: list[tuple[float, int, Held]] = []
        self._count = 0
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, held: Held, wait: timedelta) -> None:
        """Lets an execution wait."""
        held.stage = Stage.WAITING
        self._count += 1
        entry = (self._clock.monotonic() + wait.total_seconds(), self._count, held)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._added.set()

    def take_all(self) -> list[Held]:
        """Everything that waits; nothing waits afterwards."""
        waiting = [held for _, _, held in self._heap if held.stage is Stage.WAITING]
        self._heap.clear()
        return waiting

    async def run(self) -> None:
        """Requeues what is due, until cancelled. Late by at most one tick."""
        next_sweep = self._clock.monotonic() + SWEEP_INTERVAL
        while True:
            self._added.clear()
            now = self._clock.monotonic()
            while self._heap and self._heap[0][0] <= now:
                _, _, held = heapq.heappop(self._heap)
                if held.stage is Stage.WAITING:
                    self._requeue(held)
            if now >= next_sweep:
                self._sweep()
                next_sweep = now + SWEEP_INTERVAL
            if self._heap:
                await self._clock.wait(self._added, timedelta(seconds=min(self._heap[0][0], next_sweep) - now))
            else:
                await self._added.wait()
            await self._clock.sleep(TICK)

    def _sweep(self) -> None:
        """Lets go of what was cancelled or dropped meanwhile: it may be due in a day only."""
        self._heap = [entry for entry in self._heap if entry[2].stage is Stage.WAITING]
        heapq.heapify(self._heap)
