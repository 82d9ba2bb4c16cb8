"""Fires what is due: pops the timeline, and hands runs to the gate."""

import asyncio
from datetime import timedelta

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from services.scheduler import metrics
from services.scheduler.domain.identity import execution_id, microseconds, moment_of
from services.scheduler.domain.missed import Stretch, resolve_missed
from services.scheduler.domain.occurrence import Cause, Concurrency, MissedPolicy, Run
from services.scheduler.domain.timeline import Entry, Timeline
from services.scheduler.firing.admission import Admission
from services.scheduler.firing.notes import Notes, counted
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.tracing import firing_traceparent

# While runs that are due must wait: for a shard that is not trusted, or for dispatchers.
WAITING_NAP = timedelta(milliseconds=20)
# What falls due within one such span goes out in one message; a job that is alone is not held up.
SHORTEST_NAP = timedelta(milliseconds=2)
CHUNK = 256
HORIZON_STEP_US = 50_000
LATE_US = 500_000
MICROSECOND = timedelta(microseconds=1)


class Ticker:
    """One loop over all shards of the replica. Never early; late only by its own work."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        owned: OwnedShards,
        admission: Admission,
        outbox: Outbox,
        notes: Notes,
        clock: Clock,
        grace: timedelta,
        longest_nap: timedelta,
    ) -> None:
        """Within `longest_nap` the horizon moves on, and it is noticed that the wall clock was set."""
        self._timeline = timeline
        self._owned = owned
        self._admission = admission
        self._outbox = outbox
        self._notes = notes
        self._clock = clock
        self._horizon_us = 0
        self._grace_us = grace // MICROSECOND
        self._longest_nap = longest_nap
        self._has_waiting = False
        self._wake = asyncio.Event()
        timeline.on_earlier = self._wake.set

    async def run(self) -> None:
        """Fires until cancelled."""
        while True:
            now = self._clock.now()
            if not self._outbox.is_full:
                await self.fire_due(microseconds(now))
            if self._outbox.is_full or self._has_waiting:
                await self._clock.sleep(WAITING_NAP)
                continue
            self._wake.clear()
            due_us = self._timeline.next_due_us()
            wake = now + self._longest_nap
            if due_us is not None:
                wake = min(wake, max(moment_of(due_us), now + SHORTEST_NAP))
            await self._clock.wait(self._wake, wake - self._clock.now())

    async def fire_due(self, now_us: int) -> None:
        """Fires every occurrence up to `now_us` of the shards that can be relied on.

        The others wait, and so does the rest once the outbox is full.
        """
        moves_horizon = now_us - self._horizon_us >= HORIZON_STEP_US
        complete = list(self._owned.trusted().values()) if moves_horizon else []
        trusted: dict[int, OwnedShard | None] = {}
        runs: list[Run] = []
        waiting: list[Entry] = []
        for entry in self._timeline.pop_due(now_us):
            if entry.shard not in trusted:
                trusted[entry.shard] = self._owned.find_trusted(entry.shard)
            shard = trusted[entry.shard]
            if shard is None or self._outbox.is_full:
                waiting.append(entry)
                continue
            run = self._fire(shard, entry, now_us)
            if run is not None:
                runs.append(run)
            if len(runs) >= CHUNK:
                self._admission.submit(runs)
                runs = []
                await self._clock.sleep(timedelta(0))
                trusted.clear()
        self._admission.submit(runs)
        for entry in waiting:
            self._timeline.put_back(entry)
        self._has_waiting = bool(waiting)
        if moves_horizon and not waiting:
            self._horizon_us = now_us
            for shard in complete:
                shard.horizon_us = max(shard.horizon_us, now_us)

    def _fire(self, shard: OwnedShard, entry: Entry, now_us: int) -> Run | None:
        identity = execution_id(entry.job.uid, entry.due_us)
        if identity in shard.recorded:
            shard.recorded.discard(identity)
            self._admission.resume(shard, _run(shard, entry, identity))
            self._advance(shard, entry, now_us, pause_us=0)
            return None
        is_late = now_us - entry.due_us > self._grace_us
        if is_late and not entry.is_behind:
            if not self._begin_catching_up(shard, entry, now_us):
                return None
            identity = execution_id(entry.job.uid, entry.due_us)
        missed = entry.job.missed
        is_patient = is_late and missed.policy is MissedPolicy.EXECUTE_ALL
        run = _run(shard, entry, identity, is_patient=is_patient, is_late=now_us - entry.due_us > LATE_US)
        self._advance(shard, entry, now_us, pause_us=missed.interval // MICROSECOND)
        shard.unrecorded[identity] = run.scheduled_us
        metrics.FIRED.inc()
        metrics.FIRING_LATENESS.observe(max(0, now_us - run.scheduled_us) / 1e6)
        return run

    def _advance(self, shard: OwnedShard, entry: Entry, now_us: int, *, pause_us: int) -> None:
        """On to the next occurrence: at its time, or paced while missed runs are made up for."""
        key = entry.job.uid
        if not entry.is_behind:
            self._timeline.advance(entry, after_us=entry.due_us)
            return
        self._timeline.advance(entry, after_us=entry.due_us, not_before_us=now_us + pause_us)
        if entry.is_live and entry.is_behind and now_us - entry.due_us > self._grace_us:
            shard.unrecorded[key] = entry.due_us
        else:
            entry.is_behind = False
            shard.unrecorded.pop(key, None)

    def _begin_catching_up(self, shard: OwnedShard, entry: Entry, now_us: int) -> bool:
        """Skips what is not made up for, with a record of it. Whether the entry now stands at one that runs."""
        rules = entry.job.missed
        missed = resolve_missed(
            entry.schedule,
            moment_of(entry.due_us),
            cutoff=moment_of(now_us - self._grace_us),
            now=moment_of(now_us),
            rules=rules,
        )
        if missed.skipped is not None:
            self._skip(shard, entry, missed.skipped, missed.run_at is not None)
        if missed.run_at is None:
            last = missed.skipped.last if missed.skipped is not None else moment_of(entry.due_us)
            self._timeline.advance(entry, after_us=microseconds(last))
            return False
        entry.due_us = microseconds(missed.run_at)
        entry.is_behind = rules.policy is MissedPolicy.EXECUTE_ALL
        return True

    def _skip(self, shard: OwnedShard, entry: Entry, stretch: Stretch, others_run: bool) -> None:
        metrics.MISSED.inc(stretch.count)
        policy = entry.job.missed.policy.value
        then = "later ones run" if others_run else "none of them runs"
        reason = (
            f"missed: {counted(stretch)} from {stretch.first.isoformat()} to {stretch.last.isoformat()} noticed after "
            f"the grace period of {self._grace_us / 1e6:g} s; missed_run_policy is {policy}, {then}"
        )
        self._notes.add_stretch(
            shard, entry.job, stretch, execution_pb2.Execution.MISSED, reason, schedule=entry.schedule
        )


def _run(shard: OwnedShard, entry: Entry, identity: str, *, is_patient: bool = False, is_late: bool = False) -> Run:
    job = entry.job
    return Run(
        execution_id=identity,
        job=job,
        shard=shard.shard,
        epoch=shard.epoch,
        scheduled_us=entry.due_us,
        cause=Cause.SCHEDULE,
        concurrency=_one_by_one(job.concurrency) if is_patient else job.concurrency,
        is_patient=is_patient,
        is_late=is_late,
        traceparent=firing_traceparent(identity, job.id, Cause.SCHEDULE),
    )


def _one_by_one(concurrency: Concurrency) -> Concurrency:
    """How missed runs that are made up for get along: they wait for each other, unless the job lets runs overlap."""
    return concurrency if concurrency is Concurrency.ALLOW else Concurrency.QUEUE
