"""With which version of its job an unfinished run goes on."""

from collections.abc import Iterable, Mapping

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from services.scheduler.convert.firing import deleted_job, firing_job
from services.scheduler.domain.occurrence import FiringJob
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.ports.jobs import VersionStore

Execution = execution_pb2.Execution
Name = tuple[str, str, int]


class BegunVersions:
    """Reads the versions with which runs were begun, of jobs that have changed since."""

    def __init__(self, versions: VersionStore) -> None:
        self._versions = versions

    async def of(self, shard: OwnedShard, executions: Iterable[Execution]) -> Mapping[str, FiringJob]:
        """The job of each run, by execution id, as it was when the run was begun. Raises Unavailable.

        As it is now, where that version is not kept; with an empty definition, where the job is gone.
        """
        jobs = {execution.id: (_job_of(shard, execution), execution.job_version) for execution in executions}
        wanted = list({_name(job, version) for job, version in jobs.values() if _is_other(job, version)})
        found = zip(wanted, await self._versions.get_many(wanted) if wanted else (), strict=True)
        earlier = {name: _timeless(stored) for name, stored in found if stored is not None}
        return {
            identity: then if (then := earlier.get(_name(job, version))) and then.uid == job.uid else job
            for identity, (job, version) in jobs.items()
        }


def _timeless(stored: stored_job_pb2.StoredJob) -> FiringJob:
    """A version of a job without its schedule, which may name calendars that are gone: it is only to be delivered."""
    timeless = stored_job_pb2.StoredJob()
    timeless.CopyFrom(stored)
    timeless.job.schedule = ""
    return firing_job(timeless, {})


def _name(job: FiringJob, version: int) -> Name:
    return job.namespace, job.id, version


def _is_other(job: FiringJob, version: int) -> bool:
    return bool(job.definition) and version not in (0, job.version)


def _job_of(shard: OwnedShard, execution: Execution) -> FiringJob:
    job = shard.jobs.get((execution.namespace, execution.job_id))
    if job is not None and job.uid == execution.job_uid:
        return job
    return deleted_job(
        execution.namespace,
        execution.job_id,
        execution.job_uid,
        name=execution.job_name,
        version=execution.job_version,
    )
