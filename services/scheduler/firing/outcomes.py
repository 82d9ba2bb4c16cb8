"""What follows when the ledger has a run or its end, or when a run cannot be handed out again."""

from collections.abc import Callable

from chronos.history.v1 import execution_pb2

from services.scheduler.domain.occurrence import Cause, Run
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.firing.settler import Settler
from services.scheduler.ports.ledger import Reason, Status

Execution = execution_pb2.Execution
DELETED = "the run was interrupted, and its job was deleted before it could be handed out again"
LOST = "the dispatcher was lost after the request may have gone out; the job is delivered at most once"
OnAccepted = Callable[[Run], None]
OnEnded = Callable[[OwnedShard, Run, Status], None]


class Outcomes:
    """Moves the watermark on, forgets triggers, explains runs that nobody has, and tells those who wait for an end."""

    def __init__(self, owned: OwnedShards, settler: Settler, notes: Notes) -> None:
        self._owned = owned
        self._settler = settler
        self._notes = notes
        self._on_accepted: list[OnAccepted] = []
        self._on_ended: list[OnEnded] = []

    def subscribe(self, on_accepted: OnAccepted, on_ended: OnEnded) -> None:
        """`on_accepted` is called when a target has accepted a run, `on_ended` when one under way has ended."""
        self._on_accepted.append(on_accepted)
        self._on_ended.append(on_ended)

    def recorded(self, run: Run) -> None:
        """See outbox.Listener."""
        shard = self._owned.get(run.shard, run.epoch)
        if shard is None:
            return
        shard.unrecorded.pop(run.execution_id, None)
        if run.cause not in (Cause.SCHEDULE, Cause.REPLAY):
            self._settler.settle(shard, run.execution_id)

    def accepted(self, run: Run) -> None:
        """See outbox.Listener."""
        if self._owned.get(run.shard, run.epoch) is not None:
            for on_accepted in self._on_accepted:
                on_accepted(run)

    def ended(self, run: Run, status: Status) -> None:
        """See outbox.Listener."""
        shard = self._owned.get(run.shard, run.epoch)
        if shard is not None:
            if run.cause is Cause.REPLAY:  # until now its request was only there
                self._settler.settle(shard, run.execution_id)
            self._settler.settle_cancel(shard, run.execution_id)
            for on_ended in self._on_ended:
                on_ended(shard, run, status)

    def orphaned(self, run: Run) -> None:
        """See outbox.Listener."""
        self._conclude(run, Execution.FAILED, Execution.DELETED, DELETED)

    def lost(self, run: Run) -> None:
        """See outbox.Listener."""
        self._conclude(run, Execution.LOST, Execution.INTERRUPTED, LOST)

    def cancelled(self, run: Run, reason: str, code: Reason) -> None:
        """See outbox.Listener."""
        self._conclude(run, Execution.CANCELLED, code, reason)

    def _conclude(self, run: Run, status: Status, code: Reason, reason: str) -> None:
        shard = self._owned.get(run.shard, run.epoch)
        if shard is None:
            return

        def recorded() -> None:
            self.recorded(run)
            self.ended(run, status)

        self._notes.add_run(shard, run, status=status, code=code, reason=reason, on_recorded=recorded)
