"""What the scheduler itself puts into the ledger: runs that do not take place or wait, with the reason."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from libs.faults import Fault, InvalidArgument
from libs.log import get_logger
from services.scheduler.convert.firing import CAUSES
from services.scheduler.domain.identity import MICROSECOND, execution_id, microseconds, moment_of
from services.scheduler.domain.missed import Stretch, stretch_between
from services.scheduler.domain.occurrence import Cause, FiringJob, Run
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.firing.covered import covered_until
from services.scheduler.firing.owned import Backlog, OwnedShard
from services.scheduler.ports.ledger import Ledger, Note, Reason, Status

Execution = execution_pb2.Execution
PAUSE = timedelta(milliseconds=50)
PAUSE_AFTER_FAILURE = timedelta(seconds=1)
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A note, the shard whose watermark waits for it, and what to do once it is recorded.

    `explain_after`, for a note that stands for several runs, explains anew those of them after a moment.
    """

    note: Note
    shard: OwnedShard
    on_recorded: Callable[[], None]
    explain_after: Callable[[datetime], None] | None = None


class Notes:
    """Notes on their way to the ledger. The watermark of a shard waits for them."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._queue: deque[Entry] = deque()
        self._added = asyncio.Event()
        self._recorded = 0
        self._most = BATCH
        self._log = get_logger()

    @property
    def backlog(self) -> Backlog:
        """What is on its way to the ledger."""
        return Backlog(len(self._queue), self._recorded)

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
        execution = describe_run(run, now=self._clock.now(), reason=reason, code=code, status=status)
        if status != Execution.SKIPPED:
            execution.delivery = run.delivery
        if status == Execution.PENDING:
            execution.ClearField("completed_at")
            execution.delivery = 0
        self.add(shard, execution, held_from(shard, run), on_recorded)

    def add_stretch(
        self, shard: OwnedShard, job: FiringJob, stretch: Stretch, code: Reason, reason: str, *, schedule: Schedule
    ) -> None:
        """Explains consecutive occurrences of a schedule that do not run, in one record that stands for all of them.

        It has the id of the first one. When the ledger has another record of that, the rest is explained by itself.
        """

        def explain_after(moment: datetime) -> None:
            rest = stretch_between(schedule, moment, stretch.last + MICROSECOND)
            if rest is not None:
                self.add_stretch(shard, job, rest, code, reason, schedule=schedule)

        first_us = microseconds(stretch.first)
        identity = execution_id(job.uid, first_us)
        execution = describe(job, identity, first_us, now=self._clock.now(), reason=reason, code=code)
        if stretch.count > 1:
            execution.skipped_count = stretch.count
            execution.skipped_until.FromDatetime(stretch.last)
        self._add(shard, execution, first_us, explain_after=explain_after if stretch.count > 1 else None)

    def add(
        self,
        shard: OwnedShard,
        execution: Execution,
        scheduled_us: int,
        on_recorded: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes an execution. Durable some time later; until then it holds the shard's watermark back."""
        self._add(shard, execution, scheduled_us, on_recorded)

    def _add(
        self,
        shard: OwnedShard,
        execution: Execution,
        scheduled_us: int,
        on_recorded: Callable[[], None] = lambda: None,
        explain_after: Callable[[datetime], None] | None = None,
    ) -> None:
        shard.unrecorded[execution.id] = scheduled_us
        note = Note(execution=execution, shard=shard.shard, epoch=shard.epoch)
        self._queue.append(Entry(note, shard, on_recorded, explain_after))
        self._added.set()

    async def run(self) -> None:
        """Records until cancelled. What comes within 50 ms goes together."""
        pause = PAUSE
        while True:
            await self._added.wait()
            await self._clock.sleep(pause)
            self._added.clear()
            pause = PAUSE
            try:
                await self._record(self._next_batch())
            except Fault as error:
                self._log.warning("ledger away, notes wait", waiting=len(self._queue), error=error.message)
                pause = PAUSE_AFTER_FAILURE
            if self._queue:
                self._added.set()

    async def _record(self, batch: list[Entry]) -> None:
        if not batch:
            return
        try:
            refused = await self._ledger.record([entry.note for entry in batch])
        except InvalidArgument as error:
            self._sift(batch, error)
            return
        covered = await covered_until(self._ledger, [entry.note for entry in batch if entry.explain_after])
        self._settle(batch, refused, covered)

    def _next_batch(self) -> list[Entry]:
        """What goes together. Notes of one execution under two epochs do not: the answer names only the execution."""
        batch: list[Entry] = []
        epochs: dict[str, int] = {}
        for entry in islice(self._queue, self._most):
            if epochs.setdefault(entry.note.execution.id, entry.note.epoch) != entry.note.epoch:
                break
            batch.append(entry)
        return batch

    def _settle(self, batch: list[Entry], refused: frozenset[str], covered: Mapping[str, datetime]) -> None:
        """Nothing follows from a note that was refused: its shard has a new owner, who decides anew.

        `covered` has the notes for several runs that the ledger did not take as they are, and up to where it did.
        """
        self._recorded += len(batch)
        self._most = min(2 * self._most, BATCH)
        for entry in batch:
            self._queue.popleft()
            if entry.note.execution.id in refused:
                self._log.info("note is of an epoch that is over", shard=entry.note.shard, epoch=entry.note.epoch)
                continue
            if entry.explain_after is not None and entry.note.execution.id in covered:
                entry.explain_after(covered[entry.note.execution.id])
            entry.shard.unrecorded.pop(entry.note.execution.id, None)
            entry.on_recorded()

    def _sift(self, batch: list[Entry], error: InvalidArgument) -> None:
        """Finds the note that the ledger will never take, by halves, and drops it: the others must not wait for ever.

        Its shard goes on without, as far as this owner is concerned; what was promised stays promised.
        """
        if len(batch) > 1:
            self._most = len(batch) // 2
            return
        entry = self._queue.popleft()
        entry.shard.unrecorded.pop(entry.note.execution.id, None)
        self._log.error("the ledger cannot take a note", execution=entry.note.execution.id, error=error.message)


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


def describe_run(run: Run, *, now: datetime, reason: str, code: Reason, status: Status) -> Execution:
    """The same of a run, with where it comes from: this may be the first that the ledger hears of it."""
    execution = describe(
        run.job, run.execution_id, run.scheduled_us, now=now, reason=reason, code=code, status=status, cause=run.cause
    )
    execution.actor = run.origin.actor
    execution.replay_of = run.origin.replay_of
    execution.parent_execution_ids.extend(run.origin.parent_execution_ids)
    return execution


def held_from(shard: OwnedShard, run: Run) -> int:
    """Where a run that is not recorded holds the watermark back; one that was asked for is durable by its trigger."""
    return run.scheduled_us if run.cause is Cause.SCHEDULE else shard.horizon_us + 1


def counted(stretch: Stretch) -> str:
    """`1 run`, `3 runs`, `more than 1,000 runs`."""
    many = f"{'' if stretch.is_count_exact else 'more than '}{stretch.count:,}"
    return f"{many} run{'' if stretch.count == 1 else 's'}"
