"""Namespaces, and what is reserved of their quotas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chronos.scheduler.v1 import namespace_pb2

from services.scheduler.domain.quota import Quota, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedNamespace:
    """A stored namespace with the revision that wrote it; 0 when it was never created."""

    stored: namespace_pb2.Namespace
    revision: int


class NamespaceStore(Protocol):
    """Namespaces that were created, strictly serializable."""

    async def get(self, namespace_id: str) -> VersionedNamespace | None:
        """The namespace, or None."""

    async def all(self) -> Sequence[VersionedNamespace]:
        """Every namespace, in the order of the ids."""

    async def put(self, stored: namespace_pb2.Namespace, *, revision: int) -> VersionedNamespace:
        """Writes it over the version that `revision` wrote (0: none). Raises Stale when that is not the present one."""

    async def delete(self, namespace_id: str, *, revision: int) -> None:
        """Removes that version. Raises Stale, or WrongState while jobs use it."""

    async def count_jobs(self, namespace_id: str) -> int:
        """How many jobs are in it."""


class NamespaceBook(Protocol):
    """The limits of namespaces, and what they let go on, at hand without waiting; a moment behind the store."""

    def quotas_of(self, namespace_id: str) -> Quota:
        """The limits; none for a namespace that was never created."""

    def allows_unjudged(self, namespace_id: str) -> bool:
        """Whether changes and runs go on while policies cannot be asked; not in one that was never created."""

    @property
    def version(self) -> int:
        """Grows with each change."""


class QuotaStore(Protocol):
    """What replicas have reserved of the quotas of namespaces. All raise Unavailable, and may be repeated."""

    async def reserve_executions(self, namespace: str, hour: str, *, wanted: int, quota: int) -> int:
        """Takes up to `wanted` executions of an hour; together replicas never get more than `quota`."""

    async def shares(self, namespace: str) -> tuple[Mapping[str, Share], int]:
        """What each replica has of the concurrent runs, by instance; and a revision for `put_share`."""

    async def put_share(self, namespace: str, share: Share, *, revision: int) -> bool:
        """Writes this replica's share; False, and nothing done, when another one was written since `revision`."""
