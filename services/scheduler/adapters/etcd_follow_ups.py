"""Runs whose end other jobs wait for, in etcd."""

from collections.abc import Sequence

from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, Operation, Put
from services.scheduler.domain.identity import shard_of

WRITES_PER_TXN = 100


class EtcdFollowUpStore:
    """See ports.FollowUpStore."""

    def __init__(self, etcd: Etcd, shard_count: int) -> None:
        self._etcd = etcd
        self._shard_count = shard_count

    async def begin(self, shard: int, epoch: int, follow_ups: Sequence[stored_job_pb2.StoredFollowUp]) -> bool:
        """See ports.FollowUpStore."""
        owns = Compare.create_revision_is(keys.shard_owner(shard), epoch)
        puts = [Put(keys.follow_up(shard, each.execution_id), each.SerializeToString()) for each in follow_ups]
        for start in range(0, len(puts), WRITES_PER_TXN):
            if not (await self._etcd.txn([owns], puts[start : start + WRITES_PER_TXN])).succeeded:
                return False
        return True

    async def end(
        self, shard: int, follow_up: stored_job_pb2.StoredFollowUp, signals: Sequence[stored_job_pb2.StoredSignal]
    ) -> bool:
        """See ports.FollowUpStore. Of very many signals the first ones are put ahead; putting one again is harmless."""
        key = keys.follow_up(shard, follow_up.execution_id)
        found = await self._etcd.get(key)
        if found is None:
            return False
        is_there = Compare.create_revision_is(key, found.create_revision)
        puts = self._puts(signals)
        while len(puts) > WRITES_PER_TXN:
            if not (await self._etcd.txn([is_there], puts[:WRITES_PER_TXN])).succeeded:
                return False
            puts = puts[WRITES_PER_TXN:]
        return (await self._etcd.txn([is_there], [Delete(key), *puts])).succeeded

    async def forget(self, shard: int, epoch: int, execution_ids: Sequence[str]) -> None:
        """See ports.FollowUpStore."""
        owns = Compare.create_revision_is(keys.shard_owner(shard), epoch)
        for start in range(0, len(execution_ids), WRITES_PER_TXN):
            part = execution_ids[start : start + WRITES_PER_TXN]
            await self._etcd.txn([owns], [Delete(keys.follow_up(shard, identity)) for identity in part])

    async def tell(self, signals: Sequence[stored_job_pb2.StoredSignal]) -> None:
        """See ports.FollowUpStore."""
        puts = self._puts(signals)
        for start in range(0, len(puts), WRITES_PER_TXN):
            await self._etcd.txn([], puts[start : start + WRITES_PER_TXN])

    def _puts(self, signals: Sequence[stored_job_pb2.StoredSignal]) -> list[Operation]:
        return [Put(self._key(signal), signal.SerializeToString()) for signal in signals]

    def _key(self, signal: stored_job_pb2.StoredSignal) -> bytes:
        shard = shard_of(signal.namespace, signal.job_id, self._shard_count)
        return keys.signal(shard, signal.execution_id, signal.job_id)
