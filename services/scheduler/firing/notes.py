"""What the scheduler itself puts into the ledger: runs that do not take place or wait, with the reason."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.scheduler.convert.firing import CAUSES
from services.scheduler.domain.identity import execution_id, microseconds, moment_of
from services.scheduler.domain.missed import Stretch
from services.scheduler.domain.occurrence import Cause, FiringJob, Run
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.ports.ledger import Ledger, Note, Reason, Status

Execution = execution_pb2.Execution
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

    def add_run(
        self,
        shard: OwnedShard,
        run: Run,
        *,
        status: Status,
        code: Reason,
        reason: str,
        on_recorded: Callable[[], None] = lambda: None,
    ) -> None:
        """Explains what became of one run."""
        execution = describe(
            run.job, run.execution_id, run.scheduled_us, now=self._clock.now(), reason=reason, code=code,
            status=status, cause=run.cause,
        )  # fmt: skip
        execution.actor = run.origin.actor
        execution.replay_of = run.origin.replay_of
        execution.parent_execution_ids.extend(run.origin.parent_execution_ids)
        if status != Execution.SKIPPED:
            execution.delivery = run.delivery
        if status == Execution.PENDING:
            execution.ClearField("completed_at")
            execution.delivery = 0
        self.add(shard, execution, held_from(shard, run), on_recorded)

    def add_stretch(self, shard: OwnedShard, job: FiringJob, stretch: Stretch, code: Reason, reason: str) -> None:
        """Explains consecutive occurrences that do not run, in one record that stands for all of them."""
        first_us = microseconds(stretch.first)
        identity = execution_id(job.uid, first_us)
        execution = describe(job, identity, first_us, now=self._clock.now(), reason=reason, code=code)
        if stretch.count > 1:
            execution.skipped_count = stretch.count
            execution.skipped_until.FromDatetime(stretch.last)
        self.add(shard, execution, first_us)

    def add(
        self,
        shard: OwnedShard,
        execution: Execution,
        scheduled_us: int,
        on_recorded: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes an execution. Durable some time later; until then it holds the shard's watermark back."""
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
    code: Reason,
    status: Status = Execution.SKIPPED,
    cause: Cause = Cause.SCHEDULE,
) -> Execution:
    """The ledger's record of a run that does not take place."""
    execution = Execution(
        id=identity,
        namespace=job.namespace,
        job_id=job.id,
        job_uid=job.uid,
        job_name=job.name,
        job_version=job.version,
        cause=CAUSES[cause],
        status=status,
        reason=reason,
        reason_code=code,
    )
    execution.scheduled_time.FromDatetime(moment_of(scheduled_us))
    execution.completed_at.FromDatetime(now)
    return execution


def held_from(shard: OwnedShard, run: Run) -> int:
    """Where a run that is not recorded holds the watermark back; one that was asked for is durable by its trigger."""
    return run.scheduled_us if run.cause is Cause.SCHEDULE else shard.horizon_us + 1


def counted(stretch: Stretch) -> str:
    """`1 run`, `3 runs`, `more than 1,000 runs`."""
    many = f"{'' if stretch.is_count_exact else 'more than '}{stretch.count:,}"
    return f"{many} run{'' if stretch.count == 1 else 's'}"
