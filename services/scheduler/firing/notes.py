"""What the scheduler itself puts into the ledger: runs that do not take place, with the reason."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.scheduler.domain.identity import execution_id, moment_of
from services.scheduler.domain.missed import Missed
from services.scheduler.domain.occurrence import FiringJob
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.ports import Ledger, Note

PAUSE = timedelta(milliseconds=50)
PAUSE_AFTER_FAILURE = timedelta(seconds=1)
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A note, the shard whose watermark waits for it, and what to do once it is recorded."""

    note: Note
    shard: OwnedShard
    on_recorded: Callable[[], None]


class Notes:
    """Notes on their way to the ledger. The watermark of a shard waits for them."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._queue: deque[Entry] = deque()
        self._log = get_logger()

    def add_skipped(self, shard: OwnedShard, job: FiringJob, first_us: int, missed: Missed) -> None:
        """Explains occurrences that were noticed too late, in one record that stands for all of them."""
        count = f"{'' if missed.is_count_exact else 'more than '}{missed.skipped_count:,}"
        reason = (
            f"missed: {count} run(s) from {moment_of(first_us).isoformat()} until before {missed.run_at.isoformat()} "
            "were noticed after the grace period; the latest one runs in their place"
        )
        identity = execution_id(job.uid, first_us)
        self.add(shard, describe(job, identity, first_us, now=self._clock.now(), reason=reason), first_us)

    def add(
        self,
        shard: OwnedShard,
        execution: execution_pb2.Execution,
        scheduled_us: int,
        on_recorded: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes a finished execution. Durable some time later; until then it holds the shard's watermark back."""
        shard.unrecorded[execution.id] = scheduled_us
        note = Note(execution=execution, shard=shard.shard, epoch=shard.epoch)
        self._queue.append(Entry(note, shard, on_recorded))

    async def run(self) -> None:
        """Records until cancelled."""
        while True:
            pause = PAUSE
            batch = [self._queue[index] for index in range(min(BATCH, len(self._queue)))]
            try:
                if batch:
                    await self._ledger.record([entry.note for entry in batch])
                    self._settle(batch)
            except Unavailable as error:
                self._log.warning("ledger away, notes wait", waiting=len(self._queue), error=error.message)
                pause = PAUSE_AFTER_FAILURE
            await self._clock.sleep(pause)

    def _settle(self, batch: list[Entry]) -> None:
        for entry in batch:
            self._queue.popleft()
            entry.shard.unrecorded.pop(entry.note.execution.id, None)
            entry.on_recorded()


def describe(
    job: FiringJob,
    identity: str,
    scheduled_us: int,
    *,
    now: datetime,
    reason: str,
    status: "execution_pb2.Execution.Status.ValueType" = execution_pb2.Execution.SKIPPED,
    cause: "execution_pb2.Execution.Cause.ValueType" = execution_pb2.Execution.SCHEDULE,
) -> execution_pb2.Execution:
    """The ledger's record of a run that does not take place."""
    execution = execution_pb2.Execution(
        id=identity,
        namespace=job.namespace,
        job_id=job.id,
        job_uid=job.uid,
        job_name=job.name,
        job_version=job.version,
        cause=cause,
        status=status,
        reason=reason,
    )
    execution.scheduled_time.FromDatetime(moment_of(scheduled_us))
    execution.completed_at.FromDatetime(now)
    return execution
