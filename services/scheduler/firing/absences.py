"""Occurrences that a calendar, a window or the clocks take out of a schedule: explained in the ledger as they pass."""

import heapq
from dataclasses import replace
from datetime import datetime, timedelta

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from services.scheduler import metrics
from services.scheduler.domain.identity import moment_of
from services.scheduler.domain.missed import Stretch, stretch_between
from services.scheduler.domain.occurrence import FiringJob
from services.scheduler.domain.schedule.job_schedule import JobSchedule, RemovalCode, Removed
from services.scheduler.firing.notes import Notes, counted
from services.scheduler.firing.owned import OwnedShard, OwnedShards

Execution = execution_pb2.Execution
INTERVAL = timedelta(seconds=1)
# A stretch that began so shortly before the watermark may not be recorded yet; recording it again changes nothing.
LOOK_BACK = timedelta(minutes=1)
LONGEST_STRETCH = timedelta(days=2)
MICROSECOND = timedelta(microseconds=1)
MOST_AT_ONCE = 1_000
CODES = {
    RemovalCode.CALENDAR: Execution.CALENDAR,
    RemovalCode.WINDOW: Execution.WINDOW,
    RemovalCode.DST: Execution.DST,
}
Item = tuple[datetime, int, OwnedShard, FiringJob, Removed]


class Absences:
    """Watches the jobs from whose schedules something can be removed. Most jobs are not among them."""

    def __init__(self, owned: OwnedShards, notes: Notes, clock: Clock) -> None:
        self._owned = owned
        self._notes = notes
        self._clock = clock
        self._heap: list[Item] = []
        self._turns: dict[tuple[int, str, str], int] = {}
        self._turn = 0

    def put(self, shard: OwnedShard, job: FiringJob) -> None:
        """Watches a version of a job instead of the one before."""
        self.remove(shard.shard, job.namespace, job.id)
        self._note_pause(shard, job)
        if not job.is_enabled or job.schedule is None or not job.schedule.can_remove:
            return
        self._turn += 1
        self._turns[shard.shard, job.namespace, job.id] = self._turn
        removed = _under_way(job.schedule, max(moment_of(shard.horizon_us) - LOOK_BACK, job.effective_at))
        if removed is not None and removed.first <= job.effective_at:
            removed = _clipped(job.schedule, removed, job.effective_at)
        self._push(shard, job, removed, self._turn)

    def remove(self, shard: int, namespace: str, job_id: str) -> None:
        """Watches a job no more."""
        self._turns.pop((shard, namespace, job_id), None)

    async def run(self) -> None:
        """Records what has passed, until cancelled."""
        while True:
            await self._clock.sleep(INTERVAL)
            self.record(self._clock.now())

    def record(self, now: datetime) -> None:
        """Records the stretches that have begun, a bounded number of them."""
        for _ in range(MOST_AT_ONCE):
            if not self._heap or self._heap[0][0] > now:
                return
            _, turn, shard, job, removed = heapq.heappop(self._heap)
            if self._turns.get((shard.shard, job.namespace, job.id)) != turn or job.schedule is None:
                continue
            if self._owned.get(shard.shard, shard.epoch) is not None:
                self._explain(shard, job, removed)
                self._push(shard, job, job.schedule.removed_after(removed.last), turn)

    def _push(self, shard: OwnedShard, job: FiringJob, removed: Removed | None, turn: int) -> None:
        if removed is not None:
            heapq.heappush(self._heap, (removed.first, turn, shard, job, removed))

    def _explain(self, shard: OwnedShard, job: FiringJob, removed: Removed) -> None:
        metrics.NOT_RUN.labels(reason=removed.code.value).inc(removed.count)
        stretch = Stretch(
            first=removed.first, last=removed.last, count=removed.count, is_count_exact=removed.is_count_exact
        )
        self._notes.add_stretch(shard, job, stretch, CODES[removed.code], removed.reason)

    def _note_pause(self, shard: OwnedShard, job: FiringJob) -> None:
        """What a job missed while it was disabled, once it is enabled again."""
        if job.disabled_at is None or not job.is_enabled or job.schedule is None:
            return
        if job.effective_at <= moment_of(shard.horizon_us) - LOOK_BACK:
            return
        stretch = stretch_between(job.schedule, job.disabled_at, job.effective_at)
        if stretch is not None:
            reason = (
                f"{counted(stretch)} while the job was disabled, from {job.disabled_at.isoformat()} "
                f"to {job.effective_at.isoformat()}"
            )
            self._notes.add_stretch(shard, job, stretch, Execution.PAUSED, reason)


def _under_way(schedule: JobSchedule, start: datetime) -> Removed | None:
    """The first stretch that is not over at `start`. A stretch is never longer than a day."""
    removed = schedule.removed_after(start - LONGEST_STRETCH)
    while removed is not None and removed.last <= start:
        removed = schedule.removed_after(removed.last)
    return removed


def _clipped(schedule: JobSchedule, removed: Removed, effective_at: datetime) -> Removed | None:
    """What is left of a stretch that began before the job took effect."""
    left = stretch_between(schedule.nominal, effective_at, removed.last + MICROSECOND)
    if left is None:
        return schedule.removed_after(removed.last)
    return replace(removed, first=left.first, last=left.last, count=left.count, is_count_exact=left.is_count_exact)
