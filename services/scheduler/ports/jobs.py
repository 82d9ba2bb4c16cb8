"""Jobs and their versions in the store."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chronos.scheduler.v1 import stored_job_pb2

from services.scheduler.domain.schedule.job_schedule import JobSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """A stored job with the revision that wrote it."""

    stored: stored_job_pb2.StoredJob
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs of a namespace, ordered by id: up to `last_id`, and whether others follow."""

    jobs: Sequence[Versioned]
    last_id: str
    has_more: bool


class JobStore(Protocol):
    """Jobs, strictly serializable: a read sees every write that was acknowledged before."""

    async def insert(self, stored: stored_job_pb2.StoredJob) -> Versioned:
        """Adds a job. Raises AlreadyExists; answers the first job when `request_id` is repeated."""

    async def get(self, namespace: str, job_id: str) -> Versioned | None:
        """The job, or None."""

    async def page(self, namespace: str, *, after_id: str, limit: int) -> JobPage:
        """The jobs whose id comes after `after_id`."""

    async def replace(self, stored: stored_job_pb2.StoredJob, *, revision: int) -> Versioned:
        """Writes a job over the version that `revision` wrote. Raises Stale when there is another by now."""

    async def delete(self, namespace: str, job_id: str, *, revision: int, at: datetime) -> None:
        """Removes that version of a job at a moment, leaving a tombstone. Raises Stale when there is another by now."""


class JobFinder(Protocol):
    """Jobs, for use cases that only look."""

    async def find(self, namespace: str, job_id: str) -> Versioned:
        """The stored job, secrets included; an empty namespace means `default`. Raises NotFound."""


class JobScan(Protocol):
    """All jobs of all namespaces, for those who look at the whole cluster."""

    def all_jobs(self) -> AsyncGenerator[Sequence[stored_job_pb2.StoredJob], None]:
        """Every job, in pages. Not of one moment: a job that changes meanwhile may be seen before or after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPage:
    """Some versions of a job, the newest first, and whether older ones follow."""

    versions: Sequence[stored_job_pb2.StoredJob]
    has_more: bool


class VersionStore(Protocol):
    """What jobs were: the first version and the last 50 of each job that is there. JobStore writes them."""

    async def page(self, namespace: str, job_id: str, *, below: int, limit: int) -> VersionPage:
        """The newest versions whose number is below `below`; 0 means all."""

    async def get(self, namespace: str, job_id: str, version: int) -> stored_job_pb2.StoredJob | None:
        """That version, or None when it is not kept."""

    async def get_many(self, wanted: Sequence[tuple[str, str, int]]) -> Sequence[stored_job_pb2.StoredJob | None]:
        """Those versions, given as (namespace, job id, version), in that order; None for one that is not kept."""

    async def numbers(self, namespace: str, job_id: str) -> Sequence[int]:
        """Which versions are kept, rising."""


class Schedules(Protocol):
    """The schedules of stored jobs, with the calendars that they speak of."""

    async def of(self, stored: stored_job_pb2.StoredJob) -> JobSchedule | None:
        """When that version of a job runs; None when it has no times of its own. Raises ScheduleError, Unavailable."""
