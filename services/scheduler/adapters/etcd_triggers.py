"""Promised runs in etcd."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, Get, Operation, Put
from libs.etcd.values import KeyValue
from libs.faults import Unavailable
from services.scheduler.adapters.sealed import NOTHING_SEALED, Sealed
from services.scheduler.domain.identity import shard_of
from services.scheduler.ports.orders import Promise

REQUEST_MEMORY = timedelta(hours=24)
MOST_OPERATIONS = 100
MOST_TRIES = 8


class EtcdTriggerStore:
    """See ports.TriggerStore."""

    def __init__(self, etcd: Etcd, shard_count: int, sealed: Sealed = NOTHING_SEALED) -> None:
        self._etcd = etcd
        self._shard_count = shard_count
        self._sealed = sealed

    async def add(self, trigger: stored_job_pb2.StoredTrigger, *, request_id: str) -> Promise:
        """See ports.TriggerStore."""
        shard = self._shard(trigger)
        owner = Get(keys.shard_owner(shard))
        value = self._sealed.write_trigger(trigger)
        puts: list[Operation] = [owner, Put(keys.trigger(shard, trigger.execution_id), value)]
        if not request_id:
            result = await self._etcd.txn([], puts)
            return Promise(trigger=trigger, shard=shard, epoch=_epoch(result.responses[0].item))
        request_key = keys.request(trigger.namespace, f"trigger-{trigger.job_id}-{request_id}")
        lease = await self._etcd.grant(REQUEST_MEMORY)
        puts.append(Put(request_key, value, lease))
        result = await self._etcd.txn([Compare.absent(request_key)], puts, [owner, Get(request_key)])
        if not result.succeeded:
            await self._etcd.revoke(lease)
            if (first := result.responses[1].item) is not None:
                trigger = self._sealed.read_trigger(first.value)
        return Promise(trigger=trigger, shard=shard, epoch=_epoch(result.responses[0].item))

    async def add_many(self, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> Sequence[Promise]:
        """See ports.TriggerStore."""
        promises: list[Promise] = []
        for start in range(0, len(triggers), MOST_OPERATIONS - 1):
            promises += await self._add_some(triggers[start : start + MOST_OPERATIONS - 1])
        return promises

    async def _add_some(self, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> list[Promise]:
        shard = self._shard(triggers[0])
        by_key = {keys.trigger(shard, trigger.execution_id): trigger for trigger in triggers}
        for _ in range(MOST_TRIES):
            known = {item.key: item.value for item in await self._etcd.get_many(list(by_key)) if item is not None}
            missing = {key: trigger for key, trigger in by_key.items() if key not in known}
            puts: list[Operation] = [Put(key, self._sealed.write_trigger(trigger)) for key, trigger in missing.items()]
            owner = Get(keys.shard_owner(shard))
            result = await self._etcd.txn([Compare.absent(key) for key in missing], [owner, *puts])
            if result.succeeded:
                epoch = _epoch(result.responses[0].item)
                promised = [
                    self._sealed.read_trigger(known[key]) if key in known else trigger
                    for key, trigger in by_key.items()
                ]
                return [Promise(trigger=trigger, shard=shard, epoch=epoch) for trigger in promised]
        raise Unavailable("others promise the same runs at the same moment; try again")

    async def settle(self, triggers: Sequence[tuple[int, str]]) -> None:
        """See ports.TriggerStore."""
        await self._forget(keys.trigger, triggers)

    async def settle_cancels(self, cancels: Sequence[tuple[int, str]]) -> None:
        """See ports.TriggerStore."""
        await self._forget(keys.cancel, cancels)

    async def settle_completions(self, completions: Sequence[tuple[int, str]]) -> None:
        """See ports.TriggerStore."""
        await self._forget(keys.completion, completions)

    async def _forget(self, key: Callable[[int, str], bytes], places: Sequence[tuple[int, str]]) -> None:
        for start in range(0, len(places), MOST_OPERATIONS):
            chunk = places[start : start + MOST_OPERATIONS]
            await self._etcd.txn([], [Delete(key(shard, identity)) for shard, identity in chunk])

    def _shard(self, trigger: stored_job_pb2.StoredTrigger) -> int:
        return shard_of(trigger.namespace, trigger.job_id, self._shard_count)


def _epoch(owner: KeyValue | None) -> int:
    return owner.create_revision if owner is not None else 0
