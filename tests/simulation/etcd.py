"""A client of the simulated etcd: what `libs.etcd.client` promises, and what it does when members fail."""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

from libs.clock import Clock
from libs.etcd.backoff import Backoff
from libs.etcd.client import MOST_OPERATIONS, PAGE_SIZE, STATUS_TIMEOUT, EtcdClient
from libs.etcd.endpoints import CALL_TIMEOUT, READ_ATTEMPT_TIMEOUT
from libs.etcd.errors import Compacted, LeaseLost
from libs.etcd.guard import Guard
from libs.etcd.transactions import Compare, Delete, Get, GetPrefix, Operation, Put, TxnResult
from libs.etcd.values import Changes, EndpointStatus, KeyValue, Listing
from libs.etcd.watch import CREATE_TIMEOUT
from libs.faults import Unavailable
from tests.simulation.connections import Socket
from tests.simulation.etcd_cluster import MEMBERS, EtcdConditions, SimEtcd
from tests.simulation.etcd_line import Line
from tests.simulation.etcd_requests import NotAnsweredError, NotTriedError
from tests.simulation.etcd_watches import WatchCreated, WatchEnded, WatchRequest
from tests.simulation.network import Network

__all__ = ["MEMBERS", "EtcdConditions", "SimEtcd", "SimEtcdClient"]

T = TypeVar("T")


class SimEtcdClient(EtcdClient):
    """One node's client. Following and waiting are the product's own code; calls and watches are simulated."""

    def __init__(  # The real client's channels are not opened.
        self, cluster: SimEtcd, node: str, network: Network, clock: Clock, dice: random.Random
    ) -> None:
        """Prefers one of the members by chance, as clients with differently ordered endpoints do."""
        self._clock = clock
        self._cluster = cluster
        self._store = cluster.store
        self._lines = [
            Line(network, node, member.address, partial(cluster.confirmation, member)) for member in cluster.members.all
        ]
        self._preferred = dice.randrange(len(self._lines))
        self._is_closed = False

    async def get(self, key: bytes) -> KeyValue | None:
        """See Etcd."""
        return await self._call(partial(self._store.get, key), is_repeatable=True)

    async def get_many(self, keys: Sequence[bytes]) -> list[KeyValue | None]:
        """See Etcd. All is read at the first call; those that the real client makes after it only take their time."""
        if not keys:
            return []
        revision, found = await self._call(partial(self._store.get_many, tuple(keys)), is_repeatable=True)
        await self._read_on(revision, len(keys), MOST_OPERATIONS)
        return found

    async def list_prefix(
        self, prefix: bytes, *, after: bytes = b"", limit: int = 0, keys_only: bool = False
    ) -> Listing:
        """See Etcd. All is read at the first call; further pages only take their time."""
        read = partial(self._store.list_prefix, prefix, after, limit, keys_only)
        listing = await self._call(read, is_repeatable=True)
        await self._read_on(listing.revision, len(listing.items), PAGE_SIZE)
        return listing

    async def count(self, prefix: bytes) -> int:
        """See Etcd."""
        return await self._call(partial(self._store.count, prefix), is_repeatable=True)

    async def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """See Etcd."""
        return (await self._call(partial(self._store.txn, (), (Put(key, value, lease),), ()))).revision

    async def delete(self, key: bytes) -> bool:
        """See Etcd."""
        return (await self._call(partial(self._store.txn, (), (Delete(key),), ()))).responses[0].deleted > 0

    async def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        """See Etcd."""
        is_repeatable = all(isinstance(step, Get | GetPrefix) for step in (*success, *failure))
        step = partial(self._store.txn, tuple(compares), tuple(success), tuple(failure))
        return await self._call(step, is_repeatable=is_repeatable)

    async def grant(self, ttl: timedelta) -> int:
        """See Etcd."""
        seconds = math.ceil(ttl.total_seconds())
        return await self._call(partial(self._cluster.lessor.grant, seconds), is_repeatable=True)

    async def keep_alive(self, lease: int, *, timeout: timedelta = timedelta(seconds=1)) -> bool:
        """See Etcd."""
        line = await self._pick()
        try:
            return await self._ask(line, partial(self._cluster.lessor.keep_alive, lease), timeout.total_seconds())
        except NotAnsweredError:
            self._demote(line)
            raise

    async def revoke(self, lease: int) -> None:
        """See Etcd."""
        try:
            await self._call(partial(self._store.end_lease, lease), is_repeatable=True)
        except LeaseLost:
            return

    async def compact(self, revision: int) -> None:
        """See Etcd."""
        try:
            await self._call(partial(self._cluster.compact_at, revision), is_repeatable=True)
        except Compacted:
            return

    async def statuses(self) -> list[EndpointStatus]:
        """See Etcd."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._status(index)) for index in range(len(self._lines))]
        return [task.result() for task in tasks]

    async def guard(self, interval: timedelta) -> None:
        """See Etcd."""
        await Guard(self._lines, self._prefer, self._clock, interval).run()

    async def close(self) -> None:
        """See Etcd."""
        self._is_closed = True
        for line in self._lines:
            line.close()

    async def _read_on(self, revision: int, items: int, page: int) -> None:
        for _ in range(page, items, page):
            await self._call(partial(self._store.require, revision), is_repeatable=True)

    async def _status(self, index: int) -> EndpointStatus:
        line, member = self._lines[index], self._cluster.members.all[index]
        seconds = STATUS_TIMEOUT.total_seconds()
        if not await line.connects():
            return EndpointStatus(endpoint=line.address, is_healthy=False, error="failed to connect to all addresses")
        try:
            return await self._ask(line, partial(self._cluster.status, member), seconds, is_local=True)
        except NotAnsweredError as fault:
            return EndpointStatus(endpoint=line.address, is_healthy=False, error=fault.message)

    async def _call(self, do: Callable[[], T], *, is_repeatable: bool = False) -> T:
        """As `Endpoints.call`: on to another member when that is safe, within one deadline for all attempts."""
        loop = asyncio.get_running_loop()
        end = loop.time() + CALL_TIMEOUT.total_seconds()
        for attempts_left in range(len(self._lines), -1, -1):
            line = await self._pick()
            left = end - loop.time()
            patience = min(left, READ_ATTEMPT_TIMEOUT.total_seconds()) if is_repeatable else left
            try:
                return await self._ask(line, do, patience, is_write=not is_repeatable)
            except NotAnsweredError as fault:
                self._demote(line)
                may_repeat = is_repeatable or isinstance(fault, NotTriedError)
                if not may_repeat or not attempts_left or loop.time() >= end:
                    raise
        raise AssertionError("unreachable")

    async def _ask(
        self, line: Line, do: Callable[[], T], seconds: float, *, is_write: bool = False, is_local: bool = False
    ) -> T:
        session = line.session()
        if session is None:
            raise NotAnsweredError("etcd does not answer: the connection broke")
        return cast(T, await session.ask(do, max(0.0, seconds), is_write=is_write, is_local=is_local))

    async def _pick(self) -> Line:
        if not self._is_closed:
            for offset in range(len(self._lines)):
                index = (self._preferred + offset) % len(self._lines)
                if await self._lines[index].connects():
                    self._preferred = index
                    return self._lines[index]
        addresses = ", ".join(line.address for line in self._lines)
        raise Unavailable(f"No etcd server can be reached at {addresses}.", reason="ETCD_UNAVAILABLE")

    def _prefer(self, line: Line) -> None:
        self._preferred = self._lines.index(line)

    def _demote(self, line: Line) -> None:
        if self._lines[self._preferred] is line:
            self._preferred = (self._preferred + 1) % len(self._lines)

    async def _watch(
        self, prefix: bytes, start: int, deletes_only: bool, backoff: Backoff
    ) -> AsyncGenerator[Changes, None]:
        line = await self._pick()
        messages: asyncio.Queue[object] = asyncio.Queue()

        def end(reason: str = "the member is not up to date") -> None:
            messages.put_nowait(WatchEnded(reason))

        socket: Socket | None = None
        try:
            with line.readers.reading(end):
                async with asyncio.timeout(CREATE_TIMEOUT.total_seconds()):
                    socket = await line.dial()
                    socket.on_message = messages.put_nowait
                    socket.on_broken = end
                    socket.send(WatchRequest(prefix=prefix, start=start, deletes_only=deletes_only))
                    created = _read(await messages.get())
                if isinstance(created, WatchCreated) and created.revision < start - 1:
                    raise Compacted("The store went back; list again.")
                backoff.reset()
                while True:
                    changes = _read(await messages.get())
                    if isinstance(changes, Changes):
                        yield changes
        except (TimeoutError, ConnectionError, NotAnsweredError) as error:
            self._demote(line)
            raise NotAnsweredError(f"etcd ended the watch: {error}") from error
        finally:
            if socket is not None:
                socket.close()


def _read(message: object) -> object:
    if isinstance(message, WatchEnded):
        if message.is_compacted:
            raise Compacted("The revision is not kept any more; list again.")
        raise NotAnsweredError(f"etcd ended the watch: {message.reason}")
    return message
