"""Namespaces in etcd, and a mirror of what runs and changes have to heed."""

from collections.abc import Sequence
from dataclasses import dataclass

from chronos.scheduler.v1 import namespace_pb2

from libs.etcd import keys
from libs.etcd.mirror import Mirror
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, Put
from libs.etcd.values import KeyValue
from libs.faults import Stale, WrongState
from services.scheduler.adapters.etcd_guards import JOB_COUNT
from services.scheduler.domain.quota import NO_LIMITS, UNLIMITED, Quota
from services.scheduler.ports.namespaces import VersionedNamespace


class EtcdNamespaceStore:
    """See ports.NamespaceStore."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def get(self, namespace_id: str) -> VersionedNamespace | None:
        """See ports.NamespaceStore."""
        found = await self._etcd.get(keys.namespace(namespace_id))
        return _versioned(found) if found is not None else None

    async def all(self) -> Sequence[VersionedNamespace]:
        """See ports.NamespaceStore."""
        return [_versioned(item) for item in (await self._etcd.list_prefix(keys.NAMESPACES)).items]

    async def put(self, stored: namespace_pb2.Namespace, *, revision: int) -> VersionedNamespace:
        """See ports.NamespaceStore."""
        key = keys.namespace(stored.id)
        result = await self._etcd.txn([Compare.mod_revision_is(key, revision)], [Put(key, stored.SerializeToString())])
        if not result.succeeded:
            raise _stale(stored.id)
        return VersionedNamespace(stored=stored, revision=result.revision)

    async def delete(self, namespace_id: str, *, revision: int) -> None:
        """See ports.NamespaceStore. A job that is created meanwhile changes the guard, and is noticed."""
        key, guard = keys.namespace(namespace_id), keys.guard(JOB_COUNT, namespace_id)
        guarded = await self._etcd.get(guard)
        count = await self.count_jobs(namespace_id)
        if count:
            raise WrongState(
                f'the namespace "{namespace_id}" holds {count:,} job(s); delete them first', reason="NAMESPACE_IN_USE"
            )
        unchanged = Compare.mod_revision_is(guard, guarded.mod_revision if guarded else 0)
        result = await self._etcd.txn([Compare.mod_revision_is(key, revision), unchanged], [Delete(key), Delete(guard)])
        if not result.succeeded:
            raise _stale(namespace_id)

    async def count_jobs(self, namespace_id: str) -> int:
        """See ports.NamespaceStore."""
        return await self._etcd.count(keys.job_index_of(namespace_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """What the mirror keeps of a namespace."""

    quota: Quota = NO_LIMITS
    allows_unjudged: bool = False


_NO_RULES = _Rules()


class EtcdNamespaceBook:
    """See ports.NamespaceBook. Kept up to date by `run`; while etcd is away it stays as it was."""

    def __init__(self, etcd: Etcd) -> None:
        self._mirror = Mirror(etcd, keys.NAMESPACES, _rules)

    def quotas_of(self, namespace_id: str) -> Quota:
        """See ports.NamespaceBook."""
        return self._mirror.values.get(namespace_id, _NO_RULES).quota

    def allows_unjudged(self, namespace_id: str) -> bool:
        """See ports.NamespaceBook."""
        return self._mirror.values.get(namespace_id, _NO_RULES).allows_unjudged

    @property
    def version(self) -> int:
        """See ports.NamespaceBook; 0 until the namespaces were read."""
        return self._mirror.version

    async def ready(self) -> None:
        """Waits until the namespaces were read. Nothing may fire before: there would seem to be no limits."""
        while not self._mirror.version:
            await self._mirror.changed()

    async def run(self) -> None:
        """Follows the namespaces; for ever."""
        await self._mirror.run()


def _rules(value: bytes) -> _Rules:
    namespace = namespace_pb2.Namespace.FromString(value)
    return _Rules(
        quota=_quota(namespace.quotas),
        allows_unjudged=namespace.policy_failure == namespace_pb2.Namespace.ALLOW,
    )


def _quota(quotas: namespace_pb2.Quotas) -> Quota:
    return Quota(
        max_jobs=quotas.max_jobs if quotas.HasField("max_jobs") else UNLIMITED,
        max_concurrent_runs=quotas.max_concurrent_runs if quotas.HasField("max_concurrent_runs") else UNLIMITED,
        max_executions_per_hour=(
            quotas.max_executions_per_hour if quotas.HasField("max_executions_per_hour") else UNLIMITED
        ),
    )


def _versioned(item: KeyValue) -> VersionedNamespace:
    return VersionedNamespace(stored=namespace_pb2.Namespace.FromString(item.value), revision=item.mod_revision)


def _stale(namespace_id: str) -> Stale:
    return Stale(
        f'the namespace "{namespace_id}" was changed by somebody else; get it again and repeat the change on its new '
        "etag"
    )
