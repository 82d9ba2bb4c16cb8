"""Runs that an earlier owner began by a version of a job that was not in force any more."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from services.scheduler.convert.firing import adopted_run, deleted_job
from services.scheduler.domain.identity import moment_of
from services.scheduler.domain.occurrence import Cause, Run
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.firing.past import JobName
from services.scheduler.firing.patience import Patience
from services.scheduler.ports.dependencies import DependantsBook
from services.scheduler.ports.ledger import Ledger

PAUSE = timedelta(milliseconds=500)
MOST_OF_A_JOB = 1000
MARKER = "unforeseen"
"""What stands in `OwnedShard.unrecorded` until they were looked for."""


class Unforeseen:
    """Lets jobs that follow such runs hear of their ends.

    An owner that is cut off goes on for a moment without hearing of changes. What it had recorded by then, the next one
    does not come upon when it recomputes what was due: a job may have been disabled just before.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        dependants: DependantsBook,
        resume: Callable[[OwnedShard, Run], None],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._dependants = dependants
        self._resume = resume
        self._patience = Patience(clock, pause=PAUSE)

    def hold(self, shard: OwnedShard, changed: Iterable[JobName]) -> Sequence[JobName]:
        """Which of these jobs are to be looked at; the watermark waits for that. Call it before anything is fired."""
        names = [name for name in changed if self._dependants.children_of(*name)]
        if names and shard.recorded:
            shard.unrecorded[MARKER] = shard.horizon_us + 1
            return names
        return ()

    async def resume(self, shard: OwnedShard, names: Sequence[JobName], recorded: frozenset[str]) -> None:
        """Resumes the runs of jobs that were `recorded` past the watermark and have ended."""
        if not names:
            return
        since = moment_of(shard.unrecorded[MARKER])
        for namespace, job_id in names:
            look = partial(self._ledger.find, namespace, job_id=job_id, start=since, limit=MOST_OF_A_JOB)
            found = await self._patience.answer(look)
            for execution in found.executions:
                if execution.id in recorded and execution.HasField("completed_at"):
                    self._resume_one(shard, execution)
        shard.unrecorded.pop(MARKER, None)

    def _resume_one(self, shard: OwnedShard, execution: execution_pb2.Execution) -> None:
        job = deleted_job(execution.namespace, execution.job_id, execution.job_uid)
        run = adopted_run(execution, job, shard=shard.shard, epoch=shard.epoch)
        if run.cause is not Cause.REPLAY:
            self._resume(shard, run)
