"""Keeps watches fresh: leaves a server that cannot show that it is up to date while another one can.

A server that hangs, that is cut off or that falls behind leaves watches open and silent. The transport notices that
after some 8 s, or never. Meanwhile the process keeps its lease through another server and goes on with what it knew.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger

LONGEST_WAIT = timedelta(seconds=1)
SECOND_WAIT = timedelta(milliseconds=100)

logger = get_logger()


class Readers:
    """The open watches of one client on one server."""

    def __init__(self) -> None:
        self._open: dict[_Reader, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def reading(self, stop: Callable[[], object]) -> Iterator[None]:
        """Around the life of a watch. `stop` ends it from outside.

        A reader whose watch was stopped by `cut` gets Unavailable, also when stopping looks to it like the cancellation
        of its task. A real cancellation stays one.
        """
        reader = _Reader(stop)
        self._open[reader] = None
        try:
            yield
        except asyncio.CancelledError as error:
            if reader.is_cut and not _is_task_cancelled():
                raise Unavailable("The etcd server is not up to date.", reason="ETCD_UNAVAILABLE") from error
            raise
        finally:
            del self._open[reader]

    def cut(self) -> int:
        """Stops all watches that are open, and says how many."""
        readers = list(self._open)
        for reader in readers:
            reader.is_cut = True
            reader.stop()
        return len(readers)


class _Reader:
    __slots__ = ("is_cut", "stop")

    def __init__(self, stop: Callable[[], object]) -> None:
        self.stop = stop
        self.is_cut = False


class Guarded(Protocol):
    """A server, as the guard sees it."""

    @property
    def address(self) -> str:
        """`host:port`."""

    @property
    def readers(self) -> Readers:
        """The client's watches on it."""

    async def confirm(self, timeout: timedelta) -> None:
        """Returns when the server knows all that was committed when it was asked. Raises Unavailable if it does not."""


Server = TypeVar("Server", bound=Guarded)


class Guard(Generic[Server]):
    """Asks the servers that a client watches whether they are up to date.

    Each of them is asked once in an interval, and has twice as long to answer, at most `LONGEST_WAIT`. When one does
    not, all others are asked; once another one has answered, the silent one has a second chance. Then the other is
    preferred, and the watches on the silent one are cut: they go on elsewhere from where they were. When nobody
    answers, as while a leader is elected, all stays as it is.
    """

    def __init__(
        self, servers: Sequence[Server], prefer: Callable[[Server], None], clock: Clock, interval: timedelta
    ) -> None:
        self._servers = servers
        self._prefer = prefer
        self._clock = clock
        self._interval = interval
        self._patience = min(interval * 2, LONGEST_WAIT)

    async def run(self) -> None:
        """Goes round for ever."""
        while True:
            await self._clock.sleep(self._interval)
            async with asyncio.TaskGroup() as group:
                for server in self._servers:
                    if len(server.readers):
                        group.create_task(self._check(server))

    async def _check(self, server: Server) -> None:
        if await _is_fit(server, self._patience):
            return
        better = await self._first_fit([other for other in self._servers if other is not server])
        if better is None or await _is_fit(server, SECOND_WAIT):
            return
        self._prefer(better)
        logger.warning("etcd server left", endpoint=server.address, watches=server.readers.cut())

    async def _first_fit(self, servers: Sequence[Server]) -> Server | None:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._if_fit(server)) for server in servers]
            for answer in asyncio.as_completed(asked):
                server = await answer
                if server is not None:
                    for task in asked:
                        task.cancel()
                    return server
        return None

    async def _if_fit(self, server: Server) -> Server | None:
        return server if await _is_fit(server, self._patience) else None


async def _is_fit(server: Guarded, patience: timedelta) -> bool:
    try:
        await server.confirm(patience)
    except Unavailable:
        return False
    return True


def _is_task_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
