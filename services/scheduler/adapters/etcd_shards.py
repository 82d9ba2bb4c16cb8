"""What the owner of a shard reads from etcd, and its watermarks."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from chronos.cluster.v1 import cluster_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, Put
from libs.etcd.values import Event, Snapshot
from services.scheduler.adapters.sealed import NOTHING_SEALED, Sealed
from services.scheduler.ports.orders import ShardChange

WRITES_PER_TXN = 60


class EtcdShardStore:
    """See ports.ShardStore."""

    def __init__(self, etcd: Etcd, sealed: Sealed = NOTHING_SEALED) -> None:
        self._etcd = etcd
        self._sealed = sealed

    async def jobs(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        """See ports.ShardStore."""
        read = self._sealed.read_job
        async with aclosing(self._etcd.follow(keys.jobs_of_shard(shard))) as changes:
            async for change in changes:
                if isinstance(change, Snapshot):
                    yield ShardChange(is_complete=True, jobs=[read(item.value) for item in change.items])
                    continue
                for ends, puts in _in_order(change.events):
                    removed, jobs = [_names(key) for key in ends], [read(event.value) for event in puts]
                    yield ShardChange(is_complete=False, jobs=jobs, removed=removed)

    async def triggers(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        """See ports.ShardStore."""
        async with aclosing(self._etcd.follow(keys.triggers_of_shard(shard))) as changes:
            async for change in changes:
                if isinstance(change, Snapshot):
                    yield self._orders([(item.key, item.value) for item in change.items], is_complete=True)
                else:
                    puts = [(event.key, event.value) for event in change.events if not event.is_delete]
                    yield self._orders(puts, is_complete=False)

    async def tombstones(self, shard: int) -> Sequence[stored_job_pb2.StoredTombstone]:
        """See ports.ShardStore."""
        listing = await self._etcd.list_prefix(keys.tombstones_of_shard(shard))
        return [self._sealed.read_tombstone(item.value) for item in listing.items]

    async def delete_tombstones(self, shard: int, epoch: int, jobs: Sequence[tuple[str, str, str]]) -> None:
        """See ports.ShardStore."""
        is_owner = Compare.create_revision_is(keys.shard_owner(shard), epoch)
        for start in range(0, len(jobs), WRITES_PER_TXN):
            some = jobs[start : start + WRITES_PER_TXN]
            await self._etcd.txn([is_owner], [Delete(keys.tombstone(shard, *job)) for job in some])

    async def watermark(self, shard: int) -> datetime | None:
        """See ports.ShardStore."""
        found = await self._etcd.get(keys.shard_watermark(shard))
        return cluster_pb2.Watermark.FromString(found.value).time.ToDatetime(tzinfo=UTC) if found else None

    async def write_watermarks(self, watermarks: Mapping[int, tuple[int, datetime]]) -> None:
        """See ports.ShardStore. Many shards share a transaction; one that was lost makes it go shard by shard."""
        shards = list(watermarks)
        for start in range(0, len(shards), WRITES_PER_TXN):
            chunk = shards[start : start + WRITES_PER_TXN]
            if not await self._write(watermarks, chunk) and len(chunk) > 1:
                for shard in chunk:
                    await self._write(watermarks, [shard])

    async def _write(self, watermarks: Mapping[int, tuple[int, datetime]], shards: Sequence[int]) -> bool:
        compares, puts = [], []
        for shard in shards:
            epoch, moment = watermarks[shard]
            message = cluster_pb2.Watermark()
            message.time.FromDatetime(moment)
            compares.append(Compare.create_revision_is(keys.shard_owner(shard), epoch))
            puts.append(Put(keys.shard_watermark(shard), message.SerializeToString()))
        return (await self._etcd.txn(compares, puts)).succeeded

    def _orders(self, items: Sequence[tuple[bytes, bytes]], *, is_complete: bool) -> ShardChange:
        values: dict[str, list[bytes]] = {"": [], "cancel": [], "completion": [], "followup": [], "signal": []}
        for key, value in items:
            values.setdefault(keys.trigger_part(key), []).append(value)
        return ShardChange(
            is_complete=is_complete,
            triggers=[self._sealed.read_trigger(value) for value in values[""]],
            cancels=[stored_job_pb2.StoredCancel.FromString(value) for value in values["cancel"]],
            completions=[stored_job_pb2.StoredCompletion.FromString(value) for value in values["completion"]],
            follow_ups=[stored_job_pb2.StoredFollowUp.FromString(value) for value in values["followup"]],
            signals=[stored_job_pb2.StoredSignal.FromString(value) for value in values["signal"]],
        )


def _in_order(events: Iterable[Event]) -> Iterator[tuple[list[bytes], list[Event]]]:
    """The events as steps, each of which deletes keys, and then puts some."""
    ends: list[bytes] = []
    puts: list[Event] = []
    put_keys: set[bytes] = set()
    for event in events:
        if not event.is_delete:
            puts.append(event)
            put_keys.add(event.key)
            continue
        if event.key in put_keys:
            yield ends, puts
            ends, puts, put_keys = [], [], set()
        ends.append(event.key)
    yield ends, puts


def _names(key: bytes) -> tuple[str, str]:
    namespace, job_id = key.decode().rsplit("/", 2)[1:]
    return namespace, job_id
