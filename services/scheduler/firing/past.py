"""What the jobs of a shard were, so that what was due under an earlier version still runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chronos.scheduler.v1 import stored_job_pb2

from services.scheduler.convert.firing import instant
from services.scheduler.ports.jobs import VersionStore
from services.scheduler.ports.orders import ShardStore

# The owner before may have learned of a change so late, and clocks may differ by so much.
UNSEEN = timedelta(seconds=10)
StoredJob = stored_job_pb2.StoredJob
Tombstone = stored_job_pb2.StoredTombstone
Versions = Mapping[tuple[str, int], Sequence[StoredJob]]
JobName = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPast:
    """What is to be made up for besides the jobs as they are.

    `versions` are those that came before a version, given as (uid, number), the oldest first. No change that the owner
    before may not have known came into force before `floor`; `changed` are the jobs (namespace, id) that have one.
    """

    versions: Versions
    tombstones: Sequence[Tombstone]
    floor: datetime
    changed: frozenset[JobName]


class Past:
    """Reads earlier versions and tombstones. All calls raise Unavailable."""

    def __init__(self, versions: VersionStore, shards: ShardStore) -> None:
        self._versions = versions
        self._shards = shards

    async def of_shard(self, shard: int, jobs: Sequence[StoredJob], *, watermark: datetime) -> ShardPast:
        """What counted after a watermark. Most jobs have not changed since, and are not looked at."""
        limit = watermark - UNSEEN
        versions = await self.of_jobs(jobs, known={}, limit=limit)
        found = await self.deleted(shard, jobs)
        earlier = (stored for path in versions.values() for stored in path)
        late = [*jobs, *earlier, *(job for tombstone in found for job in tombstone.versions)]
        changes = [(stored.job, since) for stored in late if (since := in_force_since(stored)) > limit]
        changed = [*(job for job, _ in changes), *(tombstone.versions[-1].job for tombstone in found)]
        return ShardPast(
            versions=versions,
            tombstones=found,
            floor=min([watermark, *(since for _, since in changes)]),
            changed=frozenset((job.namespace, job.id) for job in changed),
        )

    async def deleted(self, shard: int, jobs: Sequence[StoredJob]) -> Sequence[Tombstone]:
        """The deleted jobs of a shard that are not among these; what is deleted just now is heard of by itself."""
        uids = {stored.job.uid for stored in jobs}
        return [found for found in await self._shards.tombstones(shard) if found.versions[-1].job.uid not in uids]

    async def of_jobs(self, jobs: Sequence[StoredJob], *, known: Mapping[str, int], limit: datetime) -> Versions:
        """The versions that came before these, back to the one that is known of the job (uid → number).

        Of jobs that are not known, back to the one that was in force at `limit`.
        """
        seen = dict(known)
        paths: dict[tuple[str, int], list[StoredJob]] = {}
        for stored in jobs:
            if _has_gap(stored, seen, limit):
                paths[stored.job.uid, stored.job.version] = [stored]
            seen[stored.job.uid] = stored.job.version
        open_paths = list(paths.values())
        while open_paths:
            oldest = [path[-1].job for path in open_paths]
            found = await self._versions.get_many([(job.namespace, job.id, job.version - 1) for job in oldest])
            following = []
            for path, earlier in zip(open_paths, found, strict=True):
                if earlier is not None and earlier.job.uid == path[0].job.uid:
                    path.append(earlier)
                    if _has_gap(earlier, known, limit):
                        following.append(path)
            open_paths = following
        return {name: path[:0:-1] for name, path in paths.items()}


def in_force_since(stored: StoredJob) -> datetime:
    """From when on a version of a job counts."""
    return instant(stored.job.updated_at if stored.job.HasField("updated_at") else stored.effective_at)


def _has_gap(stored: StoredJob, known: Mapping[str, int], limit: datetime) -> bool:
    """Whether the version before this one is to be looked at, too."""
    number = known.get(stored.job.uid)
    if number is not None:
        return stored.job.version > number + 1
    return stored.job.version > 1 and in_force_since(stored) > limit
