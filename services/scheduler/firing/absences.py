"""Occurrences that a calendar, a window or the clocks take out of a schedule: explained in the ledger as they pass."""

import asyncio
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
# The wall clock may be set meanwhile.
LONGEST_NAP = timedelta(seconds=30)
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
        self._next: dict[tuple[int, str, str], Item] = {}
        self._turn = 0
        self._changed = asyncio.Event()

    def put(self, shard: OwnedShard, job: FiringJob, *, since: datetime) -> None:
        """Watches a version of a job, in force since a moment, instead of the one before."""
        self.end(shard.shard, job.namespace, job.id, until=since)
        self._note_pause(shard, job)
        if not job.is_enabled or job.schedule is None or not job.schedule.can_remove:
            return
        self._turn += 1
        self._turns[shard.shard, job.namespace, job.id] = self._turn
        removed = _under_way(job.schedule, max(moment_of(shard.horizon_us) - LOOK_BACK, job.effective_at))
        if removed is not None and removed.first <= job.effective_at:
            removed = _clipped(job.schedule, removed, job.effective_at)
        self._push(shard, job, removed, self._turn)

    def end(self, shard: int, namespace: str, job_id: str, *, until: datetime) -> None:
        """Records what has passed until a moment, and watches a job no more."""
        place = (shard, namespace, job_id)
        item = self._next.get(place)
        for _ in range(MOST_AT_ONCE):
            if item is None or item[4].first > until or item[3].schedule is None:
                break
            first, turn, owned, job, removed = item
            self._explain(owned, job, _cut(item[3].schedule, removed, until))
            following = item[3].schedule.removed_after(removed.last)
            item = (first, turn, owned, job, following) if following is not None else None
        self.remove(shard, namespace, job_id)

    def remove(self, shard: int, namespace: str, job_id: str) -> None:
        """Watches a job no more."""
        self._turns.pop((shard, namespace, job_id), None)
        self._next.pop((shard, namespace, job_id), None)

    async def run(self) -> None:
        """Records what has passed, until cancelled: once a second at most, and not before something is due."""
        while True:
            await self._clock.sleep(INTERVAL)
            self._changed.clear()
            now = self._clock.now()
            self.record(now)
            left = self._heap[0][0] - now if self._heap else LONGEST_NAP
            if left > INTERVAL:
                await self._clock.wait(self._changed, min(left, LONGEST_NAP))

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
        place = (shard.shard, job.namespace, job.id)
        if removed is None:
            self._next.pop(place, None)
            return
        self._next[place] = item = (removed.first, turn, shard, job, removed)
        heapq.heappush(self._heap, item)
        self._changed.set()

    def _explain(self, shard: OwnedShard, job: FiringJob, removed: Removed) -> None:
        assert job.schedule is not None
        metrics.NOT_RUN.labels(reason=removed.code.value).inc(removed.count)
        stretch = Stretch(
            first=removed.first, last=removed.last, count=removed.count, is_count_exact=removed.is_count_exact
        )
        self._notes.add_stretch(shard, job, stretch, CODES[removed.code], removed.reason, schedule=job.schedule.nominal)

    def _note_pause(self, shard: OwnedShard, job: FiringJob) -> None:
        """What a job missed while it was disabled, once it is enabled again."""
        if job.disabled_at is None or not job.is_enabled or job.schedule is None:
            return
        if job.effective_at <= moment_of(shard.horizon_us) - LOOK_BACK:
            return
        stretch = stretch_between(job.schedule, job.disabled_at, job.effective_at + MICROSECOND)
        if stretch is not None:
            reason = (
                f"{counted(stretch)} while the job was disabled, from {job.disabled_at.isoformat()} "
                f"to {job.effective_at.isoformat()}"
            )
            self._notes.add_stretch(shard, job, stretch, Execution.PAUSED, reason, schedule=job.schedule)


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


def _cut(schedule: JobSchedule, removed: Removed, until: datetime) -> Removed:
    """What of a stretch lies before the job was changed."""
    if removed.last <= until:
        return removed
    left = stretch_between(schedule.nominal, removed.first - MICROSECOND, until + MICROSECOND)
    if left is None:
        return replace(removed, last=removed.first, count=1, is_count_exact=True)
    return replace(removed, last=left.last, count=left.count, is_count_exact=left.is_count_exact)
