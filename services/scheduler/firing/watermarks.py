"""Tells etcd how far each shard is in the ledger."""

from datetime import timedelta

from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.domain.identity import moment_of
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.ports.orders import ShardStore

IDLE_US = 5_000_000


class Watermarks:
    """Writes the watermarks of the owned shards, fenced by their epochs.

    A shard with jobs is written every `interval`; one without only every 5 s. A watermark goes back, too, when a run
    that was learned of late is below it and not in the ledger yet.
    """

    def __init__(
        self,
        *,
        store: ShardStore,
        owned: OwnedShards,
        clock: Clock,
        interval: timedelta,
    ) -> None:
        self._store = store
        self._owned = owned
        self._clock = clock
        self._interval = interval
        self._log = get_logger()

    async def run(self) -> None:
        """Writes until cancelled. A failure is no loss: the next round writes a later moment."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.write(list(self._owned.trusted().values()))
            except Fault as error:
                self._log.warning("watermarks not written", error=error.message)

    async def write(self, shards: list[OwnedShard]) -> None:
        """Writes those that moved."""
        marks = {shard: shard.watermark_us() for shard in shards}
        moved = {shard: mark for shard, mark in marks.items() if _has_moved(shard, mark)}
        if moved:
            await self._store.write_watermarks({s.shard: (s.epoch, moment_of(mark)) for s, mark in moved.items()})
            for shard, mark in moved.items():
                shard.written_us = mark


def _has_moved(shard: OwnedShard, mark_us: int) -> bool:
    return mark_us < shard.written_us or mark_us - shard.written_us > (0 if shard.jobs else IDLE_US)
