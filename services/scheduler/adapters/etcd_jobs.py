"""Jobs in etcd: the job, its present version, its entry in the index, and the answer to its request id, in one
transaction each. A job that is deleted leaves a tombstone.
"""

from datetime import UTC, datetime, timedelta

from chronos.scheduler.v1 import stored_job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, DeletePrefix, Get, Operation, Put
from libs.etcd.values import KeyValue
from libs.faults import AlreadyExists, InvalidArgument, LimitReached, Stale
from services.scheduler.adapters.etcd_guards import GuardedJobs
from services.scheduler.adapters.sealed import NOTHING_SEALED, Sealed
from services.scheduler.domain.identity import shard_of
from services.scheduler.ports.jobs import JobPage, Versioned

REQUEST_MEMORY = timedelta(hours=24)
READS_PER_TXN = 100
VERSIONS_KEPT = 50
VERSIONS_BURIED = 20
REMEMBERED = timedelta(hours=1)
# Of the versions before the last one; etcd refuses requests of more than 1.5 MB.
MOST_BURIED_BYTES = 256 * 1024


class EtcdJobStore:
    """See ports.JobStore."""

    def __init__(self, etcd: Etcd, shard_count: int, sealed: Sealed = NOTHING_SEALED) -> None:
        self._etcd = etcd
        self._shard_count = shard_count
        self._sealed = sealed
        self._guarded = GuardedJobs(etcd, shard_count)

    async def insert(self, stored: stored_job_pb2.StoredJob) -> Versioned:
        """See ports.JobStore."""
        job, request_id = stored.job, stored.request_id
        key = self._key(job.namespace, job.id)
        compares = [Compare.absent(key)]
        puts: list[Operation] = [
            *self._puts(key, stored),
            Put(keys.job_index(job.namespace, job.id), str(self._shard(job.namespace, job.id)).encode()),
        ]
        failure: list[Operation] = [Get(key)]
        if request_id:
            request_key = keys.request(job.namespace, f"create-{request_id}")
            lease = await self._etcd.grant(REQUEST_MEMORY)
            compares.append(Compare.absent(request_key))
            puts.append(Put(request_key, job.id.encode(), lease))
            failure.append(Get(request_key))
        try:
            result = await self._guarded.txn(compares, puts, failure, old=None, new=job)
        except (InvalidArgument, LimitReached, Stale):
            if request_id:
                await self._etcd.revoke(lease)
            raise
        if result.succeeded:
            return Versioned(stored=stored, revision=result.revision)
        if request_id:
            await self._etcd.revoke(lease)
            if (answered := result.responses[1].item) is not None:
                return await self._repeated(job.namespace, answered.value.decode(), job.id)
        raise AlreadyExists(
            f'there is a job "{job.id}" in namespace "{job.namespace}" already; choose another id, or update that one',
            metadata={"job": job.id},
        )

    async def _repeated(self, namespace: str, first_id: str, job_id: str) -> Versioned:
        first = await self.get(namespace, first_id)
        if first is None or first_id != job_id:
            raise InvalidArgument.of("request_id", f'was used for the job "{first_id}"; choose another one')
        return first

    async def get(self, namespace: str, job_id: str) -> Versioned | None:
        """See ports.JobStore."""
        found = await self._etcd.get(self._key(namespace, job_id))
        return self._versioned(found) if found is not None else None

    async def page(self, namespace: str, *, after_id: str, limit: int) -> JobPage:
        """See ports.JobStore."""
        after = keys.job_index(namespace, after_id) if after_id else b""
        listing = await self._etcd.list_prefix(keys.job_index_of(namespace), after=after, limit=limit, keys_only=True)
        ids = [keys.last_part(item.key) for item in listing.items]
        jobs: list[Versioned] = []
        for start in range(0, len(ids), READS_PER_TXN):
            wanted = [self._key(namespace, job_id) for job_id in ids[start : start + READS_PER_TXN]]
            found = await self._etcd.get_many(wanted)
            jobs += [self._versioned(item) for item in found if item is not None]
        return JobPage(jobs=jobs, last_id=ids[-1] if ids else "", has_more=listing.has_more)

    async def replace(self, stored: stored_job_pb2.StoredJob, *, revision: int) -> Versioned:
        """See ports.JobStore."""
        key = self._key(stored.job.namespace, stored.job.id)
        puts: list[Operation] = [*self._puts(key, stored)]
        if (outdated := stored.job.version - VERSIONS_KEPT) > 1:
            puts.append(Delete(keys.version(stored.job.namespace, stored.job.id, outdated)))
        old = await self._version_of(stored.job.namespace, stored.job.id, revision)
        result = await self._guarded.txn([Compare.mod_revision_is(key, revision)], puts, old=old.job, new=stored.job)
        if not result.succeeded:
            raise _stale(stored.job.id)
        return Versioned(stored=stored, revision=result.revision)

    async def delete(self, namespace: str, job_id: str, *, revision: int, at: datetime) -> None:
        """See ports.JobStore."""
        key = self._key(namespace, job_id)
        old = await self._version_of(namespace, job_id, revision)
        shard, tombstone = self._shard(namespace, job_id), await self._tombstone(old, at)
        steps: list[Operation] = [
            Delete(key),
            Delete(keys.job_index(namespace, job_id)),
            DeletePrefix(keys.versions_of(namespace, job_id)),
            Put(keys.tombstone(shard, namespace, job_id, old.job.uid), self._sealed.write_tombstone(tombstone)),
        ]
        result = await self._guarded.txn([Compare.mod_revision_is(key, revision)], steps, old=old.job, new=None)
        if not result.succeeded:
            raise _stale(job_id)

    async def _tombstone(self, last: stored_job_pb2.StoredJob, deleted_at: datetime) -> stored_job_pb2.StoredTombstone:
        """What is kept of a job: the versions that were in force during its last hour, as far as there is room."""
        job, versions, size = last.job, [last], 0
        if last.job.updated_at.ToDatetime(UTC) > deleted_at - REMEMBERED:
            numbers = range(job.version - 1, max(0, job.version - VERSIONS_BURIED), -1)
            found = await self._etcd.get_many([keys.version(job.namespace, job.id, number) for number in numbers])
            for item in found:
                size += len(item.value) if item is not None else 0
                if item is None or size > MOST_BURIED_BYTES:
                    break
                versions.append(self._sealed.read_job(item.value))
                if versions[-1].job.updated_at.ToDatetime(UTC) <= deleted_at - REMEMBERED:
                    break
        tombstone = stored_job_pb2.StoredTombstone(versions=reversed(versions))
        tombstone.deleted_at.FromDatetime(deleted_at)
        return tombstone

    async def _version_of(self, namespace: str, job_id: str, revision: int) -> stored_job_pb2.StoredJob:
        found = await self.get(namespace, job_id)
        if found is None or found.revision != revision:
            raise _stale(job_id)
        return found.stored

    def _puts(self, key: bytes, stored: stored_job_pb2.StoredJob) -> tuple[Put, Put]:
        """Writes the job and its version, which are the same bytes."""
        job, value = stored.job, self._sealed.write_job(stored)
        return Put(key, value), Put(keys.version(job.namespace, job.id, job.version), value)

    def _versioned(self, item: KeyValue) -> Versioned:
        return Versioned(stored=self._sealed.read_job(item.value), revision=item.mod_revision)

    def _key(self, namespace: str, job_id: str) -> bytes:
        return keys.job(self._shard(namespace, job_id), namespace, job_id)

    def _shard(self, namespace: str, job_id: str) -> int:
        return shard_of(namespace, job_id, self._shard_count)


def _stale(job_id: str) -> Stale:
    return Stale(f'the job "{job_id}" was changed by somebody else; get it again and repeat the change on its new etag')
