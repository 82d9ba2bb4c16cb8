"""Fires what is due: pops the timeline, and hands runs to the outbox."""

from datetime import timedelta

from libs.clock import Clock
from services.scheduler import metrics
from services.scheduler.domain.identity import execution_id, microseconds, moment_of
from services.scheduler.domain.missed import resolve_missed
from services.scheduler.domain.occurrence import Cause, Run
from services.scheduler.domain.timeline import Entry, Timeline
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.firing.tracing import firing_traceparent

LONGEST_NAP = timedelta(milliseconds=20)
# What falls due within one such span goes out in one message; a job that is alone is not held up.
SHORTEST_NAP = timedelta(milliseconds=2)
CHUNK = 256
HORIZON_STEP_US = 50_000


class Ticker:
    """One loop over all shards of the replica. Never early; late only by its own work."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        owned: OwnedShards,
        outbox: Outbox,
        notes: Notes,
        clock: Clock,
        grace: timedelta,
    ) -> None:
        self._timeline = timeline
        self._owned = owned
        self._outbox = outbox
        self._notes = notes
        self._clock = clock
        self._horizon_us = 0
        self._grace_us = grace // timedelta(microseconds=1)

    async def run(self) -> None:
        """Fires until cancelled."""
        while True:
            now = self._clock.now()
            if not self._outbox.is_full:
                await self.fire_due(microseconds(now))
            due_us = self._timeline.next_due_us()
            wake = now + LONGEST_NAP
            if due_us is not None and not self._outbox.is_full:
                wake = min(wake, max(moment_of(due_us), now + SHORTEST_NAP))
            await self._clock.sleep(wake - self._clock.now())

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
                self._outbox.submit(runs)
                runs = []
                await self._clock.sleep(timedelta(0))
                trusted.clear()
        self._outbox.submit(runs)
        for entry in waiting:
            self._timeline.put_back(entry)
        if moves_horizon and not waiting:
            self._horizon_us = now_us
            for shard in complete:
                shard.horizon_us = max(shard.horizon_us, now_us)

    def _fire(self, shard: OwnedShard, entry: Entry, now_us: int) -> Run | None:
        due_us = entry.due_us
        if now_us - due_us > self._grace_us:
            due_us = self._skip_missed(shard, entry, now_us)
        self._timeline.advance(entry, after_us=due_us)
        identity = execution_id(entry.job.uid, due_us)
        if identity in shard.recorded:
            shard.recorded.discard(identity)
            return None
        shard.unrecorded[identity] = due_us
        metrics.FIRED.inc()
        metrics.FIRING_LATENESS.observe(max(0, now_us - due_us) / 1e6)
        return Run(
            execution_id=identity,
            job=entry.job,
            shard=shard.shard,
            epoch=shard.epoch,
            scheduled_us=due_us,
            cause=Cause.SCHEDULE,
            traceparent=firing_traceparent(identity, entry.job.id, Cause.SCHEDULE),
        )

    def _skip_missed(self, shard: OwnedShard, entry: Entry, now_us: int) -> int:
        """Gives up all late occurrences but the latest, with a record of it. Returns the one that runs."""
        first = moment_of(entry.due_us)
        missed = resolve_missed(entry.job.schedule, first, cutoff=moment_of(now_us - self._grace_us))
        if missed.skipped_count:
            metrics.MISSED.inc(missed.skipped_count)
            self._notes.add_skipped(shard, entry.job, entry.due_us, missed)
        return microseconds(missed.run_at)
