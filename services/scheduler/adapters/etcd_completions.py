"""How accepted executions ended, in etcd, next to the triggers of the same shard."""

from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Get, Put
from services.scheduler.domain.identity import shard_of


class EtcdCompletionStore:
    """See ports.CompletionStore."""

    def __init__(self, etcd: Etcd, shard_count: int) -> None:
        self._etcd = etcd
        self._shard_count = shard_count

    async def add(self, completion: stored_job_pb2.StoredCompletion) -> stored_job_pb2.StoredCompletion:
        """See ports.CompletionStore."""
        execution = completion.execution
        key = keys.completion(shard_of(execution.namespace, execution.job_id, self._shard_count), execution.id)
        put = Put(key, completion.SerializeToString())
        result = await self._etcd.txn([Compare.absent(key)], [put], [Get(key)])
        first = None if result.succeeded else result.responses[0].item
        return completion if first is None else stored_job_pb2.StoredCompletion.FromString(first.value)
