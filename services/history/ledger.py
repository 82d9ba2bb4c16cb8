"""Taking batches of records, and sealing shards."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from libs.faults import Unavailable
from services.history import metrics
from services.history.domain.records import Record
from services.history.ports import Ledger, Seal
from services.history.room import Room
from services.history.write_health import WriteHealth

MOST_UNACKNOWLEDGED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records that are acknowledged together. `number` is the sender's."""

    number: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A batch is durable, but for the stale records in it."""

    number: int
    stale_ids: frozenset[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    number: int
    stale_ids: asyncio.Future[frozenset[bytes]]


class Recording:
    """Writes what senders tell. Reads no further from any of them while too much waits for the disk."""

    def __init__(self, ledger: Ledger, room: Room, health: WriteHealth, on_recorded: Callable[[], None]) -> None:
        """`on_recorded` is called after each batch that became durable."""
        self._ledger = ledger
        self._room = room
        self._health = health
        self._on_recorded = on_recorded

    async def record(
        self, batches: AsyncIterator[Batch], acknowledge: Callable[[Acknowledgement], Awaitable[None]]
    ) -> None:
        """Takes one sender's batches until they end, and acknowledges each in order once it is durable.

        Raises Unavailable at the first batch that could not be written; nothing after it is acknowledged.
        """
        taken: asyncio.Queue[_Taken | None] = asyncio.Queue(MOST_UNACKNOWLEDGED)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take(batches, taken))
                while (batch := await taken.get()) is not None:
                    stale_ids = await asyncio.shield(batch.stale_ids)
                    await acknowledge(Acknowledgement(number=batch.number, stale_ids=stale_ids))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def seal(self, shard: int, epoch: int, watermark_us: int) -> Seal:
        """Begins an epoch of a shard; see ports.Ledger."""
        try:
            seal = await self._ledger.seal(shard, epoch, watermark_us)
        except Unavailable as fault:
            self._health.failed(fault)
            raise
        self._health.worked()
        return seal

    async def _take(self, batches: AsyncIterator[Batch], taken: "asyncio.Queue[_Taken | None]") -> None:
        async for batch in batches:
            await self._room.enter(len(batch.records))
            metrics.PENDING.set(self._room.used)
            stale_ids = self._ledger.take(batch.records)
            stale_ids.add_done_callback(partial(self._on_done, batch.records))
            await taken.put(_Taken(number=batch.number, stale_ids=stale_ids))
        await taken.put(None)

    def _on_done(self, records: Sequence[Record], stale_ids: asyncio.Future[frozenset[bytes]]) -> None:
        self._room.leave(len(records))
        metrics.PENDING.set(self._room.used)
        if stale_ids.cancelled():
            return
        fault = stale_ids.exception()
        if isinstance(fault, Unavailable):
            self._health.failed(fault)
        elif fault is None:
            metrics.count_durable(records, len(stale_ids.result()))
            self._health.worked()
            self._on_recorded()
