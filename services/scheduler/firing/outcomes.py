"""What follows when the ledger has a run, or when a run cannot be handed out again."""

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from services.scheduler.convert import CAUSES
from services.scheduler.domain.occurrence import Cause, Run
from services.scheduler.firing.notes import Notes, describe
from services.scheduler.firing.owned import OwnedShards
from services.scheduler.firing.settler import Settler

DELETED = "the run was interrupted, and its job was deleted before it could be handed out again"


class Outcomes:
    """Moves the watermark on, forgets triggers, explains orphans."""

    def __init__(self, owned: OwnedShards, settler: Settler, notes: Notes, clock: Clock) -> None:
        self._owned = owned
        self._settler = settler
        self._notes = notes
        self._clock = clock

    def recorded(self, run: Run) -> None:
        """The ledger has the run; repeating it changes nothing."""
        shard = self._owned.get(run.shard, run.epoch)
        if shard is None:
            return
        shard.unrecorded.pop(run.execution_id, None)
        if run.cause is Cause.MANUAL:
            self._settler.settle(shard, run.execution_id)

    def orphaned(self, run: Run) -> None:
        """No dispatcher has the run, and its job is gone: it ends as failed."""
        shard = self._owned.get(run.shard, run.epoch)
        if shard is None:
            return
        execution = describe(
            run.job,
            run.execution_id,
            run.scheduled_us,
            now=self._clock.now(),
            reason=DELETED,
            status=execution_pb2.Execution.FAILED,
            cause=CAUSES[run.cause],
        )
        execution.delivery = run.delivery
        self._notes.add(shard, execution, run.scheduled_us)
