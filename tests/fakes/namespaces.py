"""Namespaces in memory."""

from collections.abc import Sequence

from chronos.scheduler.v1 import namespace_pb2

from libs.faults import Stale, WrongState
from services.scheduler.domain.quota import NO_LIMITS, Quota
from services.scheduler.ports.namespaces import VersionedNamespace


class FakeNamespaceStore:
    """Namespaces in a dict; revisions count up. Those `in_use` hold jobs."""

    def __init__(self) -> None:
        self.in_use: set[str] = set()
        self._namespaces: dict[str, VersionedNamespace] = {}
        self._revision = 100

    async def get(self, namespace_id: str) -> VersionedNamespace | None:
        return self._namespaces.get(namespace_id)

    async def all(self) -> Sequence[VersionedNamespace]:
        return [self._namespaces[name] for name in sorted(self._namespaces)]

    async def put(self, stored: namespace_pb2.Namespace, *, revision: int) -> VersionedNamespace:
        self._check(stored.id, revision)
        self._revision += 1
        copy = namespace_pb2.Namespace()
        copy.CopyFrom(stored)
        self._namespaces[stored.id] = VersionedNamespace(stored=copy, revision=self._revision)
        return self._namespaces[stored.id]

    async def delete(self, namespace_id: str, *, revision: int) -> None:
        if namespace_id in self.in_use:
            raise WrongState("in use")
        self._check(namespace_id, revision)
        del self._namespaces[namespace_id]

    async def count_jobs(self, namespace_id: str) -> int:
        return 1 if namespace_id in self.in_use else 0

    def _check(self, namespace_id: str, revision: int) -> None:
        known = self._namespaces.get(namespace_id)
        if (known.revision if known else 0) != revision:
            raise Stale("changed")


class FakeNamespaceBook:
    """The limits that a test sets, and the namespaces that go on `unjudged`."""

    def __init__(self, **quotas: Quota) -> None:
        self._quotas = quotas
        self.unjudged: set[str] = set()
        self.version = 1

    def set(self, namespace_id: str, quota: Quota) -> None:
        self._quotas[namespace_id] = quota
        self.version += 1

    def quotas_of(self, namespace_id: str) -> Quota:
        return self._quotas.get(namespace_id, NO_LIMITS)

    def allows_unjudged(self, namespace_id: str) -> bool:
        return namespace_id in self.unjudged
