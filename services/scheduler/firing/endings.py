"""Jobs that are not to run any more: what was due before still runs, what is too late is explained."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.scheduler import metrics
from services.scheduler.convert.firing import instant
from services.scheduler.domain.identity import execution_id, microseconds, moment_of
from services.scheduler.domain.in_force import Reign, Succession, end
from services.scheduler.domain.missed import stretch_between
from services.scheduler.domain.timeline import Entry, Timeline
from services.scheduler.firing.notes import Notes, counted
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.firing.past import UNSEEN
from services.scheduler.ports.ledger import Reason
from services.scheduler.ports.orders import ShardStore

Execution = execution_pb2.Execution
SWEEP_INTERVAL = timedelta(seconds=30)
# A tombstone stays until the watermark is so far past it that no clock can be in doubt.
KEPT_US = 60_000_000
MICROSECOND = timedelta(microseconds=1)
Tombstone = stored_job_pb2.StoredTombstone


class Endings:
    """Ends jobs on the timeline. What is late by more than `grace` does not run once a job is disabled or deleted."""

    def __init__(self, *, timeline: Timeline, notes: Notes, shards: ShardStore, clock: Clock, grace: timedelta) -> None:
        self._timeline = timeline
        self._notes = notes
        self._shards = shards
        self._clock = clock
        self._grace = grace
        self._log = get_logger()

    def disable(self, shard: OwnedShard, entry: Entry) -> None:
        """Leaves of a disabled job only what was due before, and not long ago."""
        after_us = self._give_up_late(shard, entry.reigns, entry.due_us - 1, Execution.PAUSED, "disabled")
        self._timeline.give_up_late(entry, after_us=after_us)

    def disable_ahead(self, shard: OwnedShard, entry: Entry, *, since: datetime) -> None:
        """Explains what a job had due until it was disabled, where that is later than now."""
        self._explain_unreached(shard, entry.reigns, entry.due_us - 1, since, Execution.PAUSED, "disabled")

    def mark(self, shard: OwnedShard, entry: Entry) -> bool:
        """Notes that a job was deleted; whether runs of it may have been due before, by whichever clock.

        The watermark waits for those.
        """
        if entry.due_us > microseconds(self._clock.now() + UNSEEN):
            return False
        shard.unrecorded[_marker(entry.newest.uid)] = entry.due_us
        return True

    async def bury(self, shard: OwnedShard, entries: Sequence[Entry]) -> None:
        """Puts marked jobs back on the timeline, for what was due before they were deleted. Raises Unavailable."""
        found = {tombstone.versions[-1].job.uid: tombstone for tombstone in await self._shards.tombstones(shard.shard)}
        for entry in entries:
            tombstone = found.get(entry.newest.uid)
            if tombstone is not None:
                self.end(shard, entry, tombstone)
            shard.unrecorded.pop(_marker(entry.newest.uid), None)

    def end(self, shard: OwnedShard, entry: Entry, tombstone: Tombstone) -> None:
        """Puts a removed job back on the timeline, for what was due before it was deleted and not long ago."""
        deleted_at = instant(tombstone.deleted_at)
        reigns = end(entry.reigns, min(deleted_at, self._clock.now()))
        after_us = self._give_up_late(shard, reigns, entry.due_us - 1, Execution.DELETED, "deleted")
        self._explain_unreached(shard, entry.reigns, after_us, deleted_at, Execution.DELETED, "deleted")
        ended = self._timeline.end(shard.shard, reigns, after_us=after_us)
        if ended is not None:
            shard.hold_before(ended.due_us)

    async def sweep(self, shard: OwnedShard) -> None:
        """Deletes tombstones that the watermark has passed, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_INTERVAL)
            over = [job for job, deleted_us in shard.buried.items() if deleted_us + KEPT_US < shard.written_us]
            if not over:
                continue
            try:
                await self._shards.delete_tombstones(shard.shard, shard.epoch, over)
            except Unavailable as error:
                self._log.warning("tombstones not deleted", shard=shard.shard, error=error.message)
                continue
            for job in over:
                del shard.buried[job]

    def _give_up_late(self, shard: OwnedShard, reigns: Sequence[Reign], after_us: int, code: Reason, verb: str) -> int:
        """Explains what is too late to run, if anything; gives how far the job has come then."""
        why = f"had not begun when the job was {verb}, and it was too late to make up for it"
        return self._explain(shard, reigns, after_us, self._clock.now() - self._grace, code, why)

    def _explain_unreached(
        self, shard: OwnedShard, reigns: Sequence[Reign], after_us: int, until: datetime, code: Reason, verb: str
    ) -> None:
        """Explains what was due until a moment that this clock has not reached.

        Either this one is behind, or that of whoever ended the job is ahead. So nothing of it runs any more.
        """
        now = self._clock.now()
        if until > now:
            why = f"had not begun, by the clock of the shard's owner, when the job was {verb}"
            before = min(until, now + UNSEEN) + MICROSECOND
            self._explain(shard, reigns, max(after_us, microseconds(now)), before, code, why)

    def _explain(
        self, shard: OwnedShard, reigns: Sequence[Reign], after_us: int, before: datetime, code: Reason, why: str
    ) -> int:
        """Explains what was due after one moment and before another; gives the last one, or `after_us`."""
        succession, after = Succession(reigns), moment_of(after_us)
        first = succession.next_after(after)
        while first is not None and first < before:
            identity = execution_id(reigns[-1].job.uid, microseconds(first))
            if identity not in shard.recorded:
                break
            shard.recorded.discard(identity)
            after, first = first, succession.next_after(first)
        stretch = stretch_between(succession, after, before)
        if stretch is None:
            return microseconds(after)
        metrics.NOT_RUN.labels(reason=Execution.Reason.Name(code).lower()).inc(stretch.count)
        reason = f"{counted(stretch)} from {stretch.first.isoformat()} to {stretch.last.isoformat()} {why}"
        self._notes.add_stretch(shard, reigns[-1].job, stretch, code, reason, schedule=succession)
        return microseconds(stretch.last)


def _marker(uid: str) -> str:
    """What stands in `OwnedShard.unrecorded` until it is known what a deleted job leaves to be done."""
    return f"{uid}/ended"
