"""Taking batches of records, and sealing shards."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from libs.faults import Unavailable
from services.history import metrics
from services.history.domain.records import Batch, Refused
from services.history.ports import Ledger, Seal
from services.history.room import Room
from services.history.write_health import WriteHealth

MOST_UNACKNOWLEDGED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A batch, with the number that its sender gave it."""

    number: int
    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A batch is durable, but for what was refused of it."""

    number: int
    refused: Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    number: int
    refused: asyncio.Future[Refused]


class Recording:
    """Writes what senders tell. Reads no further from any of them while too much waits for the disk."""

    def __init__(self, ledger: Ledger, room: Room, health: WriteHealth, on_recorded: Callable[[], None]) -> None:
        """`on_recorded` is called after each batch that became durable."""
        self._ledger = ledger
        self._room = room
        self._health = health
        self._on_recorded = on_recorded

    async def record(
        self, batches: AsyncIterator[Numbered], acknowledge: Callable[[Acknowledgement], Awaitable[None]]
    ) -> None:
        """Takes one sender's batches until they end, and acknowledges each in order once it is durable.

        Raises Unavailable at the first batch that could not be written; nothing after it is acknowledged.
        """
        taken: asyncio.Queue[_Taken | None] = asyncio.Queue(MOST_UNACKNOWLEDGED)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take(batches, taken))
                while (next_taken := await taken.get()) is not None:
                    refused = await asyncio.shield(next_taken.refused)
                    await acknowledge(Acknowledgement(number=next_taken.number, refused=refused))
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

    async def _take(self, batches: AsyncIterator[Numbered], taken: "asyncio.Queue[_Taken | None]") -> None:
        async for numbered in batches:
            batch = numbered.batch
            await self._room.enter(len(batch.records))
            metrics.PENDING.set(self._room.used)
            refused = self._ledger.take(batch)
            refused.add_done_callback(partial(self._on_done, batch))
            await taken.put(_Taken(number=numbered.number, refused=refused))
        await taken.put(None)

    def _on_done(self, batch: Batch, refused: asyncio.Future[Refused]) -> None:
        self._room.leave(len(batch.records))
        metrics.PENDING.set(self._room.used)
        if refused.cancelled():
            return
        fault = refused.exception()
        if isinstance(fault, Unavailable):
            self._health.failed(fault)
        elif fault is None:
            metrics.count_durable(batch.records, refused.result())
            self._health.worked()
            self._on_recorded()
