"""Versions of jobs: list, look up, compare, go back."""

from collections.abc import Sequence
from typing import Any, Protocol

from chronos.scheduler.v1 import job_pb2, job_version_service_pb2, stored_job_pb2
from google.protobuf.json_format import MessageToDict

from libs.faults import Fault, InvalidArgument, NotFound
from libs.paging import decode_token, encode_token, page_size
from services.scheduler.domain.differences import Difference, differences
from services.scheduler.jobs.secrets import SECRET_PATHS, masked_job
from services.scheduler.ports.jobs import JobFinder, VersionStore

BOOKKEEPING = ("uid", "created_at", "updated_at", "updated_by", "version", "etag", "next_run")
OF_THE_MOMENT = ("etag", "next_run")


class JobRestorer(JobFinder, Protocol):
    """Jobs, which can go back."""

    async def restore(
        self, namespace: str, job_id: str, version: stored_job_pb2.StoredJob, *, etag: str, author: str, comment: str
    ) -> job_pb2.Job:
        """Puts a version of a job in place again, as a new version. Raises NotFound, InvalidArgument or Stale."""


class JobVersions:
    """What the jobs of all namespaces were."""

    def __init__(self, jobs: JobRestorer, store: VersionStore) -> None:
        self._jobs = jobs
        self._store = store

    async def list(
        self, namespace: str, job_id: str, *, size: int, token: str
    ) -> tuple[list[job_version_service_pb2.JobVersion], str]:
        """One page of a job's versions, the newest first, and the token of the next one. Raises NotFound."""
        job = (await self._jobs.find(namespace, job_id)).stored.job
        query = ["versions", job.namespace, job.id]
        position = decode_token(token, query=query)
        below = int(position[0]) if position else 0
        page = await self._store.page(job.namespace, job.id, below=below, limit=page_size(size))
        versions = [_version(stored, with_job=False) for stored in page.versions]
        return versions, encode_token([versions[-1].version], query=query) if page.has_more else ""

    async def get(self, namespace: str, job_id: str, version: int) -> job_version_service_pb2.JobVersion:
        """A version of a job. Raises NotFound, which says what there is."""
        return _version(await self._find(namespace, job_id, version), with_job=True)

    async def compare(
        self, namespace: str, job_id: str, version: int, *, against: int
    ) -> tuple[int, Sequence[Difference]]:
        """The old version's number, and what differs; `against` 0 means the version before. Raises NotFound."""
        if version == 1 and not against:
            raise InvalidArgument.of(
                "against", "is needed, since there is none before version 1; give for example against=2"
            )
        old_number = against or version - 1
        new = await self._find(namespace, job_id, version)
        old = await self._find(namespace, job_id, old_number)
        return old_number, differences(_plain(old.job), _plain(new.job), secrets=SECRET_PATHS)

    async def rollback(
        self, namespace: str, job_id: str, version: int, *, etag: str, comment: str, author: str
    ) -> tuple[job_pb2.Job, int]:
        """The job as it was at a version, and the number that it had until now. Raises NotFound or Stale."""
        stored = await self._find(namespace, job_id, version)
        job = await self._jobs.restore(namespace, job_id, stored, etag=etag, author=author, comment=comment)
        return job, job.version - 1  # each change counts one on, also one that came in between

    async def _find(self, namespace: str, job_id: str, version: int) -> stored_job_pb2.StoredJob:
        current = (await self._jobs.find(namespace, job_id)).stored
        if current.job.version == version:
            return current
        found = await self._store.get(current.job.namespace, job_id, version)
        if found is None or found.job.uid != current.job.uid:
            kept = {*await self._store.numbers(current.job.namespace, job_id), current.job.version}
            raise _not_kept(job_id, version, sorted(kept))
        return found


def _version(stored: stored_job_pb2.StoredJob, *, with_job: bool) -> job_version_service_pb2.JobVersion:
    job = stored.job
    message = job_version_service_pb2.JobVersion(
        namespace=job.namespace,
        job_id=job.id,
        version=job.version,
        created_at=job.updated_at,
        created_by=job.updated_by,
        comment=stored.comment,
        change=stored.change,
        rolled_back_to=stored.rolled_back_to,
    )
    if with_job:
        message.job.CopyFrom(masked_job(job))
        for name in OF_THE_MOMENT:
            message.job.ClearField(name)  # type: ignore[arg-type]
    return message


def _plain(job: job_pb2.Job) -> dict[str, Any]:
    plain: dict[str, Any] = MessageToDict(job, preserving_proto_field_name=True)
    return {name: value for name, value in plain.items() if name not in BOOKKEEPING}


def _not_kept(job_id: str, version: int, numbers: Sequence[int]) -> Fault:
    return NotFound(
        f'version {version} of the job "{job_id}" is not there; there is {_ranges(numbers)}',
        metadata={"job": job_id, "version": str(version)},
    )


def _ranges(numbers: Sequence[int]) -> str:
    """`1 and 7 to 56` for the numbers 1, 7, 8, … 56."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and stretches[-1][1] == number - 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    words = [f"{first} to {last}" if first != last else str(first) for first, last in stretches]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
