"""Connections that are shared, kept while they are used, and opened again when they are gone."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from libs.clock import Clock
from libs.log import get_logger

K = TypeVar("K", bound=Hashable)
C = TypeVar("C")

LONGEST_LOOK = timedelta(seconds=30)


@dataclass(slots=True, eq=False)
class _Slot(Generic[C]):
    """The connection of a key: being opened until `is_settled`, then `connection` or else `error`.

    With neither, whoever was opening it gave up.
    """

    used_at: float = 0.0
    connection: C | None = None
    error: Exception | None = None
    is_settled: asyncio.Event = field(default_factory=asyncio.Event)


class Pool(Generic[K, C]):
    """One connection for each key, at most `limit` (those just being opened beside); least recently used closed first.

    `close` may be given a connection that is still in use: it lets finish what is under way, in bounded time.
    `run` closes what is to be closed, and must be running; `open_pool` sees to that.
    """

    def __init__(
        self,
        open: Callable[[K], Awaitable[C]],  # noqa: A002 - the word of the pair
        close: Callable[[C], Awaitable[None]],
        *,
        limit: int,
        idle: timedelta,
        clock: Clock,
    ) -> None:
        self._open = open
        self._close = close
        self._limit = limit
        self._idle = idle
        self._clock = clock
        self._slots: OrderedDict[K, _Slot[C]] = OrderedDict()
        self._leaving: list[C] = []
        self._is_any_leaving = asyncio.Event()
        self._log = get_logger()

    def __len__(self) -> int:
        """Connections that are open or being opened."""
        return len(self._slots)

    async def get(self, key: K) -> C:
        """The connection of a key, opened if there is none. The caller bounds the time.

        Only one is opened at a time: the others wait for it. Raises what opening it raised, to all of them; the next
        call tries again. When the opening one is cancelled, one of those who wait takes its place.
        """
        while True:
            slot = self._slots.get(key)
            if slot is None:
                return await self._open_slot(key)
            if not slot.is_settled.is_set():
                await slot.is_settled.wait()
            if slot.error is not None:
                raise slot.error
            if slot.connection is not None:
                self._touch(key, slot)
                return slot.connection

    async def drop(self, key: K, connection: C) -> None:
        """Closes a broken connection; the next `get` opens another. One that was dropped already is passed over."""
        slot = self._slots.get(key)
        if slot is not None and slot.connection is connection:
            del self._slots[key]
            self._let_go(slot)

    async def run(self) -> None:
        """Closes connections that are idle, too many or broken, until cancelled."""
        while True:
            await self._clock.wait(self._is_any_leaving, min(self._idle, LONGEST_LOOK))
            self._is_any_leaving.clear()
            self._leave_idle()
            leaving, self._leaving = self._leaving, []
            await self._close_all(leaving)

    async def close(self) -> None:
        """Closes all connections."""
        open_ones = [slot.connection for slot in self._slots.values() if slot.connection is not None]
        self._slots.clear()
        leaving, self._leaving = self._leaving, []
        await self._close_all([*leaving, *open_ones])

    async def _open_slot(self, key: K) -> C:
        slot = self._slots[key] = _Slot()
        try:
            connection = slot.connection = await self._open(key)
        except Exception as error:
            slot.error = error
            raise
        finally:
            if slot.connection is None and self._slots.get(key) is slot:
                del self._slots[key]
            slot.is_settled.set()
        if self._slots.get(key) is not slot:
            self._let_go(slot)
            return connection
        self._touch(key, slot)
        self._stay_bounded(newest=key)
        return connection

    def _touch(self, key: K, slot: _Slot[C]) -> None:
        slot.used_at = self._clock.monotonic()
        if self._slots.get(key) is slot:
            self._slots.move_to_end(key)

    def _stay_bounded(self, newest: K) -> None:
        open_keys = [key for key, slot in self._slots.items() if slot.connection is not None and key != newest]
        for key in open_keys[: max(0, len(open_keys) + 1 - self._limit)]:
            self._let_go(self._slots.pop(key))

    def _leave_idle(self) -> None:
        horizon = self._clock.monotonic() - self._idle.total_seconds()
        for key, slot in list(self._slots.items()):
            if slot.connection is not None and slot.used_at <= horizon:
                self._let_go(self._slots.pop(key))

    def _let_go(self, slot: _Slot[C]) -> None:
        assert slot.connection is not None
        self._leaving.append(slot.connection)
        self._is_any_leaving.set()

    async def _close_all(self, connections: Iterable[C]) -> None:
        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(self._close_one(connection))

    async def _close_one(self, connection: C) -> None:
        try:
            await self._close(connection)
        except Exception as error:  # noqa: BLE001 - one that cannot be closed must not keep the others open
            self._log.warning("connection not closed", error=str(error))


@asynccontextmanager
async def open_pool(
    open: Callable[[K], Awaitable[C]],  # noqa: A002 - as above
    close: Callable[[C], Awaitable[None]],
    *,
    limit: int,
    idle: timedelta,
    clock: Clock,
) -> AsyncIterator[Pool[K, C]]:
    """A pool that is looked after; all its connections are closed at the end."""
    pool = Pool(open, close, limit=limit, idle=idle, clock=clock)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        upkeep = group.create_task(pool.run())
        try:
            yield pool
        except Exception as error:  # noqa: BLE001 - raised below: inside, the group would wrap it
            failure = error
        finally:
            upkeep.cancel()
            await pool.close()
    if failure is not None:
        raise failure
