"""The jobs of an owned shard, and how they change."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.clock import Clock
from libs.log import get_logger
from services.scheduler.convert.firing import calendars_of, firing_job, instant
from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.occurrence import FiringJob
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.timeline import Entry, Timeline
from services.scheduler.firing.absences import Absences
from services.scheduler.firing.admission import DELETED, DISABLED, Admission
from services.scheduler.firing.endings import Endings
from services.scheduler.firing.orders import Calendars
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.firing.past import Past, ShardPast, Versions, in_force_since
from services.scheduler.ports.orders import ShardChange

Execution = execution_pb2.Execution
StoredJob = stored_job_pb2.StoredJob
Tombstone = stored_job_pb2.StoredTombstone
# Seconds for which loading jobs may keep everything else from its turn; a job takes some 50 µs, a rare one much more.
LONGEST_TURN = 0.01


class JobRounds(Protocol):
    """Who decides when jobs run that wait for others."""

    def job_changed(self, shard: OwnedShard, namespace: str, job_id: str) -> None:
        """A job was changed or deleted."""


class ShardJobs:
    """Puts the jobs of the owned shards on the timeline, each version for the time while it is in force.

    What an earlier version had due stays due when a job changes; of a job that is disabled or deleted, only what is not
    too late (see Endings).
    """

    def __init__(
        self,
        *,
        timeline: Timeline,
        absences: Absences,
        past: Past,
        endings: Endings,
        admission: Admission,
        rounds: JobRounds,
        calendars: Calendars,
        clock: Clock,
    ) -> None:
        self._timeline = timeline
        self._absences = absences
        self._past = past
        self._endings = endings
        self._admission = admission
        self._rounds = rounds
        self._calendars = calendars
        self._clock = clock
        self._log = get_logger()

    async def load(self, shard: OwnedShard, change: ShardChange, past: ShardPast) -> None:
        """Takes the jobs of a shard that was taken over, and what they were."""
        for tombstone in past.tombstones:
            self._put_deleted(shard, tombstone)
        await self._apply(shard, change, past.versions)

    async def apply(self, shard: OwnedShard, change: ShardChange) -> None:
        """Takes changes. Raises Unavailable: then the shard must be taken over again."""
        known = {job.uid: job.version for job in shard.jobs.values()} if change.is_complete else _of(shard, change)
        versions = await self._past.of_jobs(change.jobs, known=known, limit=moment_of(shard.unseen_us))
        if change.is_complete:
            self._put_unheard(shard, change, await self._past.deleted(shard.shard, change.jobs))
        await self._apply(shard, change, versions)

    def refresh(self, shard: OwnedShard, stored: StoredJob) -> None:
        """Looks the occurrences of a job up again, as its calendars have changed. A newer version comes by itself.

        One that was deleted while it was read stays away.
        """
        known = _known_of(shard, stored.job)
        if known == stored.job.version or (stored.job.namespace, stored.job.id) in shard.broken:
            self._put(shard, stored)

    def forget(self, shard: OwnedShard) -> None:
        """Fires nothing of the shard any more."""
        for namespace, job_id in shard.jobs:
            self._timeline.remove(shard.shard, namespace, job_id)
            self._absences.remove(shard.shard, namespace, job_id)
        self._timeline.forget_ended(shard.shard)

    async def _apply(self, shard: OwnedShard, change: ShardChange, versions: Versions) -> None:
        named = {(stored.job.namespace, stored.job.id) for stored in change.jobs}
        gone = [key for key in shard.jobs if key not in named] if change.is_complete else change.removed
        overdue = [entry for key in gone if (entry := self._bury_later(shard, key)) is not None]
        turn = self._clock.monotonic()
        for stored in change.jobs:
            if (stored.job.namespace, stored.job.id, stored.job.uid) in shard.buried:
                continue  # Its tombstone was read before it came.
            known = shard.jobs.get((stored.job.namespace, stored.job.id))
            if known is not None and known.uid != stored.job.uid:
                overdue += [entry] if (entry := self._bury_later(shard, known.key)) is not None else []
                known = None
            if known is None or known.version < stored.job.version:
                for earlier in versions.get((stored.job.uid, stored.job.version), ()):
                    self._place(shard, earlier)
                self._put(shard, stored)
            if self._clock.monotonic() - turn > LONGEST_TURN:
                await self._clock.sleep(timedelta(0))
                turn = self._clock.monotonic()
        if overdue:
            await self._endings.bury(shard, overdue)

    def _put(self, shard: OwnedShard, stored: StoredJob) -> None:
        """Lets a version of a job be the one in force."""
        key = (stored.job.namespace, stored.job.id)
        job = self._place(shard, stored)
        if job is None:
            self._drop(shard, key)
            shard.broken[key] = calendars_of(stored.job)
            return
        shard.broken.pop(key, None)
        shard.jobs[key] = job
        entry = self._timeline.find(shard.shard, job)
        if entry is not None and not job.is_enabled:
            self._endings.disable(shard, entry)
        self._hold_watermark(shard, job)
        self._rounds.job_changed(shard, *key)
        if not job.is_enabled:
            self._admission.withdraw(shard, job.uid, Execution.PAUSED, DISABLED, also_asked_for=False)

    def _place(self, shard: OwnedShard, stored: StoredJob) -> FiringJob | None:
        """Puts a version of a job on the timeline, behind those that are there; None when it cannot be read."""
        key = (stored.job.namespace, stored.job.id)
        job = self._read(stored)
        if job is None:
            return None
        since, known = in_force_since(stored), shard.jobs.get(key)
        if not job.is_enabled and since > (now := self._clock.now()):
            # However far ahead the clock of who disabled it is, nothing comes from now on.
            if (entry := self._timeline.find(shard.shard, job)) is not None:
                self._endings.disable_ahead(shard, entry, since=since)
            since = now
        is_new = key not in shard.broken and (known is None or (known.uid, known.version) != (job.uid, job.version))
        # A version that the owner before may not have known counts from its beginning, however far the shard is.
        is_unseen = is_new and microseconds(since) > shard.unseen_us
        self._timeline.put(shard.shard, job, after_us=0 if is_unseen else shard.reached_us, since=since)
        self._absences.put(shard, job, since=since)
        return job

    def _read(self, stored: StoredJob) -> FiringJob | None:
        """A version of a job as it fires; None when its schedule means nothing any more."""
        namespace, job_id = stored.job.namespace, stored.job.id
        try:
            return firing_job(stored, self._calendars.sets(namespace))
        except ScheduleError as error:
            self._log.error("job cannot fire, change its schedule", namespace=namespace, job=job_id, error=str(error))
            return None

    def _put_unheard(self, shard: OwnedShard, change: ShardChange, tombstones: Sequence[Tombstone]) -> None:
        """Takes jobs away of whose deletion only a listing of everything tells: changes before it were not seen."""
        alive = {(stored.job.namespace, stored.job.id): stored.job.uid for stored in change.jobs}
        for tombstone in sorted(tombstones, key=lambda found: _known_of(shard, found.versions[-1].job), reverse=True):
            last = tombstone.versions[-1].job
            known = shard.jobs.get((last.namespace, last.id))
            is_there_still = known is not None and alive.get(known.key) == known.uid
            if not is_there_still and (last.namespace, last.id, last.uid) not in shard.buried:
                self._put_deleted(shard, tombstone)

    def _put_deleted(self, shard: OwnedShard, tombstone: Tombstone) -> None:
        """Puts what a deleted job had due on the timeline, as far as it is not recorded."""
        last = tombstone.versions[-1].job
        shard.buried[last.namespace, last.id, last.uid] = tombstone.deleted_at.ToMicroseconds()
        if tombstone.deleted_at.ToMicroseconds() <= shard.unseen_us:
            return
        recent = [stored for stored in tombstone.versions if microseconds(in_force_since(stored)) > shard.unseen_us]
        before = tombstone.versions[: len(tombstone.versions) - len(recent)][-1:]
        for stored in (*before, *recent):
            if stored.job.version > _known_of(shard, stored.job):
                self._place(shard, stored)
        entry = self._timeline.remove(shard.shard, last.namespace, last.id)
        self._absences.end(shard.shard, last.namespace, last.id, until=instant(tombstone.deleted_at))
        if entry is not None:
            self._endings.end(shard, entry, tombstone)

    def _hold_watermark(self, shard: OwnedShard, job: FiringJob) -> None:
        """Keeps the watermark before what a changed job still has due."""
        entry = self._timeline.find(shard.shard, job)
        shard.unrecorded.pop(job.uid, None)
        if entry is None:
            return
        entry.is_behind = entry.is_behind and entry.due_us <= shard.reached_us
        if entry.is_behind:
            shard.unrecorded[job.uid] = entry.due_us
        elif entry.due_us <= shard.horizon_us:
            shard.hold_before(entry.due_us)

    def _bury_later(self, shard: OwnedShard, key: tuple[str, str]) -> Entry | None:
        """Takes a deleted job away; gives its place when runs of it may have been due before."""
        entry = self._drop(shard, key)
        return entry if entry is not None and self._endings.mark(shard, entry) else None

    def _drop(self, shard: OwnedShard, key: tuple[str, str]) -> Entry | None:
        """Takes a job away; gives its place, for what it had due."""
        shard.broken.pop(key, None)
        job = shard.jobs.pop(key, None)
        self._rounds.job_changed(shard, *key)
        entry = self._timeline.remove(shard.shard, *key)
        self._absences.end(shard.shard, *key, until=self._clock.now())
        if job is None:
            return None
        shard.unrecorded.pop(job.uid, None)
        shard.buried[*key, job.uid] = microseconds(self._clock.now())
        self._admission.withdraw(shard, job.uid, Execution.DELETED, DELETED, also_asked_for=True)
        return entry


def _known_of(shard: OwnedShard, job: job_pb2.Job) -> int:
    """Which version of a job is known; 0 for none."""
    known = shard.jobs.get((job.namespace, job.id))
    return known.version if known is not None and known.uid == job.uid else 0


def _of(shard: OwnedShard, change: ShardChange) -> dict[str, int]:
    """Which versions are known of the jobs that have changed."""
    known = (shard.jobs.get((stored.job.namespace, stored.job.id)) for stored in change.jobs)
    return {job.uid: job.version for job in known if job is not None}
