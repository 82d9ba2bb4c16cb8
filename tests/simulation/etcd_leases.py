"""The leases of a simulated etcd: never ended early, ended somewhat late."""

import asyncio
import heapq
import random
from collections.abc import Callable

from libs.etcd.errors import LeaseLost
from tests.simulation.etcd_store import LeaseState, Store
from tests.simulation.links import Span

LEAST_TTL = 2
"""Seconds: what servers make of anything shorter, with their default election timeout."""
RETRY_SECONDS = 0.5


class LeaseEndingError(Exception):
    """The lease is over and about to be revoked: etcd answers after that."""


class Lessor:
    """Counts the time of leases by the cluster's own clock, which is the loop's.

    A keep-alive only moves an end; the heap is put right when the old end comes. `on_expiry` is told of each lease that
    is ended because nobody kept it alive.
    """

    def __init__(self, store: Store, dice: random.Random, lateness: Span, has_leader: Callable[[], bool]) -> None:
        self._store = store
        self._dice = dice
        self._lateness = lateness
        self._has_leader = has_leader
        self._ends: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._granted = 0
        self.on_expiry: Callable[[int], None] = lambda lease: None

    def grant(self, seconds: int) -> int:
        """A new lease."""
        self._granted += 1
        lease = 0x1000 + self._granted
        ttl = max(LEAST_TTL, seconds)
        ends_at = asyncio.get_running_loop().time() + ttl
        self._store.leases[lease] = LeaseState(ttl, ends_at)
        self._push(ends_at, lease)
        return lease

    def keep_alive(self, lease: int) -> bool:
        """Whether the lease was extended. Raises LeaseEndingError when it is over but not revoked yet."""
        state = self._store.leases.get(lease)
        if state is None:
            return False
        now = asyncio.get_running_loop().time()
        if state.ends_at <= now:
            raise LeaseEndingError
        state.ends_at = now + state.ttl
        return True

    def extend_all(self) -> None:
        """Gives every lease its full TTL, as a new leader does."""
        now = asyncio.get_running_loop().time()
        for state in self._store.leases.values():
            state.ends_at = now + state.ttl

    def _push(self, ends_at: float, lease: int) -> None:
        heapq.heappush(self._ends, (ends_at, lease))
        if self._ends[0][1] == lease:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ends:
            self._timer = asyncio.get_running_loop().call_at(self._ends[0][0], self._look)

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._ends and self._ends[0][0] <= now:
            _, lease = heapq.heappop(self._ends)
            state = self._store.leases.get(lease)
            if state is None:
                continue
            if state.ends_at > now:
                heapq.heappush(self._ends, (state.ends_at, lease))
            else:
                loop.call_later(self._dice.uniform(*self._lateness), self._end, lease)
        self._arm()

    def _end(self, lease: int) -> None:
        state = self._store.leases.get(lease)
        if state is None:
            return
        loop = asyncio.get_running_loop()
        if state.ends_at > loop.time():
            self._push(state.ends_at, lease)
        elif self._has_leader():
            self.on_expiry(lease)
            try:
                self._store.end_lease(lease)
            except LeaseLost:
                return
        else:
            loop.call_later(RETRY_SECONDS, self._end, lease)
