"""Promised runs in etcd."""

from collections.abc import Sequence
from datetime import timedelta

from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, Get, Operation, Put
from libs.etcd.values import KeyValue
from services.scheduler.domain.identity import shard_of
from services.scheduler.ports import Promise

REQUEST_MEMORY = timedelta(hours=24)


class EtcdTriggerStore:
    """See ports.TriggerStore."""

    def __init__(self, etcd: Etcd, shard_count: int) -> None:
        self._etcd = etcd
        self._shard_count = shard_count

    async def add(self, trigger: stored_job_pb2.StoredTrigger, *, request_id: str) -> Promise:
        """See ports.TriggerStore."""
        shard = shard_of(trigger.namespace, trigger.job_id, self._shard_count)
        owner = Get(keys.shard_owner(shard))
        puts: list[Operation] = [owner, Put(keys.trigger(shard, trigger.execution_id), trigger.SerializeToString())]
        if not request_id:
            result = await self._etcd.txn([], puts)
            return Promise(trigger=trigger, shard=shard, epoch=_epoch(result.responses[0].item))
        request_key = keys.request(trigger.namespace, f"trigger-{trigger.job_id}-{request_id}")
        lease = await self._etcd.grant(REQUEST_MEMORY)
        puts.append(Put(request_key, trigger.SerializeToString(), lease))
        result = await self._etcd.txn([Compare.absent(request_key)], puts, [owner, Get(request_key)])
        if not result.succeeded:
            await self._etcd.revoke(lease)
            if (first := result.responses[1].item) is not None:
                trigger = stored_job_pb2.StoredTrigger.FromString(first.value)
        return Promise(trigger=trigger, shard=shard, epoch=_epoch(result.responses[0].item))

    async def settle(self, triggers: Sequence[tuple[int, str]]) -> None:
        """See ports.TriggerStore."""
        await self._etcd.txn([], [Delete(keys.trigger(shard, identity)) for shard, identity in triggers])


def _epoch(owner: KeyValue | None) -> int:
    return owner.create_revision if owner is not None else 0
