"""Executions that their targets have accepted and now tell the end of: it is kept in etcd, and the owner records it."""

from datetime import timedelta

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from libs.faults import NotFound, Unavailable, WrongState
from libs.names import DEFAULT_NAMESPACE
from services.scheduler.convert.completions import completed
from services.scheduler.ports.jobs import VersionStore
from services.scheduler.ports.ledger import Ledger, Status
from services.scheduler.ports.orders import CompletionStore

Execution = execution_pb2.Execution
# A target may be done before the ledger has that the execution began.
PATIENCE = timedelta(seconds=2)
PAUSE = timedelta(milliseconds=50)
NOT_BEGUN = "NOT_BEGUN"
# What became of a lost run nobody knows, but its target may.
OPEN = (Execution.RUNNING, Execution.LOST)


class ExecutionCompletions:
    """A completion is durable when it is answered; the end follows in the ledger."""

    def __init__(self, versions: VersionStore, store: CompletionStore, ledger: Ledger, clock: Clock) -> None:
        self._versions = versions
        self._store = store
        self._ledger = ledger
        self._clock = clock

    async def complete(
        self, namespace: str, job_id: str, execution_id: str, *, status: Status, response: str, error: str, actor: str
    ) -> Execution:
        """The execution as it was a moment before; as it ended, when it has ended so already.

        Raises NotFound, Unavailable when it has not begun, and WrongState when it has ended otherwise or is not for its
        target to end.
        """
        execution = await self._begun(namespace or DEFAULT_NAMESPACE, job_id, execution_id)
        wanted = status or Execution.SUCCESS
        if execution.status == wanted:
            return execution
        if execution.status == Execution.PENDING:
            raise Unavailable(
                "the ledger does not have yet that the execution has begun; if its target was sent it, try again",
                reason=NOT_BEGUN,
            )
        if execution.status not in OPEN:
            raise _ended(execution.status)
        await self._ensure_asynchronous(execution)
        end = completed(
            execution, wanted, response=response, error=error, reason=f"completed by {actor}", now=self._clock.now()
        )
        first = (await self._store.add(end)).execution
        if first.status != wanted:
            raise _ended(first.status)
        # Another end may have been recorded, and its key deleted, after the ledger was read and before the key was put.
        # This one stands above what deliveries tell, but for a success.
        now = await self._begun(execution.namespace, job_id, execution_id)
        if now.status != wanted and (now.is_settled or now.status == Execution.SUCCESS):
            raise _ended(now.status)
        return execution

    async def _begun(self, namespace: str, job_id: str, execution_id: str) -> Execution:
        deadline = self._clock.monotonic() + PATIENCE.total_seconds()
        while True:
            found = await self._ledger.find(namespace, ids=[execution_id], limit=1)
            execution = found.executions[0] if found.executions else None
            if execution is not None and job_id not in ("", execution.job_id):
                execution = None
            if execution is not None and execution.status != Execution.PENDING:
                return execution
            if self._clock.monotonic() >= deadline:
                break
            await self._clock.sleep(PAUSE)
        if execution is None:
            raise _not_found(namespace, job_id, execution_id)
        return execution

    async def _ensure_asynchronous(self, execution: Execution) -> None:
        """Its target may not have answered yet; then the version of the job tells whether it may complete it."""
        if execution.reason_code == Execution.ACCEPTED:
            return
        version = await self._versions.get(execution.namespace, execution.job_id, execution.job_version)
        if version is not None and not version.job.HasField("completion"):
            raise WrongState(
                f'the answer of its target ends an execution of the job "{execution.job_id}"; to let the target tell '
                "later, give the job a `completion`"
            )


def _ended(status: Status) -> WrongState:
    return WrongState(f"the execution has ended as {Execution.Status.Name(status)}; the first end counts")


def _not_found(namespace: str, job_id: str, execution_id: str) -> NotFound:
    place = f'of the job "{job_id}" in namespace "{namespace}"' if job_id else f'in namespace "{namespace}"'
    return NotFound(
        f'there is no execution "{execution_id}" {place} that has begun', metadata={"execution": execution_id}
    )
