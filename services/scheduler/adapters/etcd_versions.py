"""Versions of jobs in etcd. EtcdJobStore writes them, together with the jobs."""

from collections.abc import Sequence

from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from services.scheduler.adapters.sealed import NOTHING_SEALED, Sealed
from services.scheduler.ports.jobs import VersionPage

READS_PER_TXN = 100


class EtcdVersionStore:
    """See ports.VersionStore."""

    def __init__(self, etcd: Etcd, sealed: Sealed = NOTHING_SEALED) -> None:
        self._etcd = etcd
        self._read = sealed.read_job

    async def page(self, namespace: str, job_id: str, *, below: int, limit: int) -> VersionPage:
        """See ports.VersionStore."""
        older = [number for number in await self.numbers(namespace, job_id) if not below or number < below]
        chosen = older[::-1][:limit]
        found = await self._etcd.get_many([keys.version(namespace, job_id, number) for number in chosen])
        return VersionPage(
            versions=[self._read(item.value) for item in found if item is not None], has_more=len(older) > len(chosen)
        )

    async def get(self, namespace: str, job_id: str, version: int) -> stored_job_pb2.StoredJob | None:
        """See ports.VersionStore."""
        found = await self._etcd.get(keys.version(namespace, job_id, version))
        return self._read(found.value) if found is not None else None

    async def get_many(self, wanted: Sequence[tuple[str, str, int]]) -> Sequence[stored_job_pb2.StoredJob | None]:
        """See ports.VersionStore."""
        found: list[stored_job_pb2.StoredJob | None] = []
        for start in range(0, len(wanted), READS_PER_TXN):
            some = [keys.version(*version) for version in wanted[start : start + READS_PER_TXN]]
            found += [self._read(item.value) if item is not None else None for item in await self._etcd.get_many(some)]
        return found

    async def numbers(self, namespace: str, job_id: str) -> Sequence[int]:
        """See ports.VersionStore."""
        listing = await self._etcd.list_prefix(keys.versions_of(namespace, job_id), keys_only=True)
        return [int(keys.last_part(item.key)) for item in listing.items]
