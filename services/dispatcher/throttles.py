"""Attempts that wait because their target takes no more at a time, or not so many in a while."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from libs.clock import Clock
from libs.fair_queue import FairQueue
from services.dispatcher.domain.limits import Limits, Usage
from services.dispatcher.held import Held, Stage

MOST_BEGINS = 10_000
SHORTEST_NAP = timedelta(milliseconds=1)


class _Throttle:
    """What waits under one key, and what was let through."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.waiting: FairQueue[Held] = FairQueue()
        self.longest_period = 0.0


class Throttles:
    """The gate before `enqueue`: what has no limits goes through, the rest when its turn comes.

    Who waits here takes up no credit. Under one key those of higher priority go first, and within that the oldest; the
    first one goes by its own figures. A permit ends with the attempt, or with the execution where none is made.
    """

    def __init__(self, enqueue: Callable[[Held], None], clock: Clock) -> None:
        self._enqueue = enqueue
        self._clock = clock
        self._throttles: dict[str, _Throttle] = {}
        self._naps: dict[str, float] = {}
        self._count = 0
        self._added = asyncio.Event()

    def __len__(self) -> int:
        """Executions that wait here."""
        return self._count

    @property
    def key_count(self) -> int:
        """Keys of which something counts."""
        return len(self._throttles)

    def enqueue(self, held: Held) -> None:
        """Lets an execution go on when its target takes it."""
        plan = held.delivery.plan
        limits = plan.limits
        if limits is None:
            self._enqueue(held)
            return
        held.stage = Stage.THROTTLED
        throttle = self._throttles.setdefault(limits.key, _Throttle())
        throttle.longest_period = max(throttle.longest_period, limits.period.total_seconds())
        throttle.waiting.push(plan.namespace, plan.priority, held)
        self._count += 1
        self._open(limits.key)
        if held.stage is Stage.THROTTLED:
            held.give_credit_back()

    def take_all(self) -> list[Held]:
        """Everything that waits; nothing waits afterwards."""
        taken = [held for throttle in self._throttles.values() for held in throttle.waiting]
        for throttle in self._throttles.values():
            throttle.waiting = FairQueue()
        self._count = 0
        return [held for held in taken if held.stage is Stage.THROTTLED]

    async def run(self) -> None:
        """Lets through what a rate has held back, until cancelled."""
        while True:
            self._added.clear()
            now = self._clock.monotonic()
            for key in [key for key, until in self._naps.items() if until <= now]:
                del self._naps[key]
                if key in self._throttles:
                    self._open(key)
            if not self._naps:
                await self._added.wait()
                continue
            nap = timedelta(seconds=min(self._naps.values()) - self._clock.monotonic())
            await self._clock.wait(self._added, max(nap, SHORTEST_NAP))

    def _open(self, key: str) -> None:
        throttle = self._throttles[key]
        while throttle.waiting:
            now = self._clock.monotonic()
            held = throttle.waiting.pop()
            if held.stage is not Stage.THROTTLED:
                self._count -= 1
                continue
            limits = held.delivery.plan.limits
            assert limits is not None
            free_at = throttle.usage.free_at(limits)
            if not throttle.usage.has_room(limits) or free_at > now:
                plan = held.delivery.plan
                throttle.waiting.push_front(plan.namespace, plan.priority, held)
                self._nap(key, free_at, now)
                return
            self._count -= 1
            self._let_through(held, limits, throttle, now)
        self._tidy(key, throttle)

    def _let_through(self, held: Held, limits: Limits, throttle: _Throttle, now: float) -> None:
        throttle.usage.forget(now - throttle.longest_period, MOST_BEGINS)
        throttle.usage.begin(now)
        held.free_permit = partial(self._free, limits.key)
        self._enqueue(held)

    def _free(self, key: str) -> None:
        self._throttles[key].usage.active -= 1
        self._open(key)

    def _nap(self, key: str, until: float, now: float) -> None:
        if until > now:
            self._naps[key] = until
            self._added.set()

    def _tidy(self, key: str, throttle: _Throttle) -> None:
        """Forgets a key of which nothing counts any more."""
        throttle.usage.forget(self._clock.monotonic() - throttle.longest_period, MOST_BEGINS)
        if not throttle.usage.active and not throttle.usage.begins and not throttle.waiting:
            del self._throttles[key]
        elif not throttle.usage.active and throttle.usage.begins:
            self._nap(key, throttle.usage.begins[-1] + throttle.longest_period, self._clock.monotonic())
