"""What jobs have heard of those that they depend on, in etcd."""

from collections.abc import Sequence

from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, Operation, Put
from libs.etcd.values import KeyValue
from services.scheduler.adapters.sealed import NOTHING_SEALED, Sealed
from services.scheduler.ports.dependencies import VersionedRound


class EtcdRoundStore:
    """See ports.RoundStore."""

    def __init__(self, etcd: Etcd, sealed: Sealed = NOTHING_SEALED) -> None:
        self._etcd = etcd
        self._sealed = sealed

    async def rounds(self, shard: int) -> Sequence[VersionedRound]:
        """See ports.RoundStore."""
        listing = await self._etcd.list_prefix(keys.rounds_of_shard(shard))
        return [_versioned(*_names(item.key), item) for item in listing.items]

    async def find(self, shard: int, namespace: str, job_id: str) -> VersionedRound:
        """See ports.RoundStore."""
        return _versioned(namespace, job_id, await self._etcd.get(keys.job_round(shard, namespace, job_id)))

    async def commit(
        self,
        shard: int,
        epoch: int,
        rounds: VersionedRound,
        *,
        taken: Sequence[stored_job_pb2.StoredSignal],
        triggers: Sequence[stored_job_pb2.StoredTrigger],
    ) -> VersionedRound | None:
        """See ports.RoundStore. At most 120 signals and triggers."""
        key = keys.job_round(shard, rounds.namespace, rounds.job_id)
        value = rounds.stored.SerializeToString()
        steps: list[Operation] = [Put(key, value) if value else Delete(key)]
        steps += [Delete(keys.signal(shard, signal.execution_id, signal.job_id)) for signal in taken]
        write = self._sealed.write_trigger
        steps += [Put(keys.trigger(shard, trigger.execution_id), write(trigger)) for trigger in triggers]
        result = await self._etcd.txn(
            [
                Compare.create_revision_is(keys.shard_owner(shard), epoch),
                Compare.mod_revision_is(key, rounds.revision),
            ],
            steps,
        )
        if not result.succeeded:
            return None
        return VersionedRound(
            namespace=rounds.namespace,
            job_id=rounds.job_id,
            stored=rounds.stored,
            revision=result.revision if value else 0,
        )


def _versioned(namespace: str, job_id: str, item: KeyValue | None) -> VersionedRound:
    return VersionedRound(
        namespace=namespace,
        job_id=job_id,
        stored=stored_job_pb2.StoredRound.FromString(item.value if item else b""),
        revision=item.mod_revision if item else 0,
    )


def _names(key: bytes) -> tuple[str, str]:
    namespace, job_id = key.decode().rsplit("/", 2)[1:]
    return namespace, job_id
