"""Wishes to stop executions in etcd, next to the triggers of the same shard."""

from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Put
from services.scheduler.domain.identity import shard_of


class EtcdCancelStore:
    """See ports.CancelStore."""

    def __init__(self, etcd: Etcd, shard_count: int) -> None:
        self._etcd = etcd
        self._shard_count = shard_count

    async def add(self, cancel: stored_job_pb2.StoredCancel) -> None:
        """See ports.CancelStore."""
        key = keys.cancel(shard_of(cancel.namespace, cancel.job_id, self._shard_count), cancel.execution_id)
        await self._etcd.txn([Compare.absent(key)], [Put(key, cancel.SerializeToString())])

    async def promised(self, namespace: str, execution_id: str) -> stored_job_pb2.StoredTrigger | None:
        """See ports.CancelStore. Looks into every shard, since an execution's id does not tell it.

        Secrets of the promise stay encrypted.
        """
        wanted = [keys.trigger(shard, execution_id) for shard in range(self._shard_count)]
        for item in await self._etcd.get_many(wanted):
            if item is not None:
                trigger = stored_job_pb2.StoredTrigger.FromString(item.value)
                return trigger if trigger.namespace == namespace else None
        return None
