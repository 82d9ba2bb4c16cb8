"""Executions that somebody wants to stop: the wish is kept in etcd, and the shard's owner acts on it."""

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import Clock
from libs.faults import Fault, NotFound, WrongState
from libs.names import DEFAULT_NAMESPACE
from services.scheduler.ports.jobs import JobFinder
from services.scheduler.ports.ledger import Ledger
from services.scheduler.ports.orders import CancelStore
from services.scheduler.runs.triggers import pending_execution

UNDER_WAY = (execution_pb2.Execution.PENDING, execution_pb2.Execution.RUNNING)
Status = execution_pb2.Execution.Status


class Cancellations:
    """The wish is durable when it is answered; what it does comes after."""

    def __init__(self, jobs: JobFinder, store: CancelStore, ledger: Ledger, clock: Clock) -> None:
        self._jobs = jobs
        self._store = store
        self._ledger = ledger
        self._clock = clock

    async def cancel(
        self, namespace: str, job_id: str, execution_id: str, *, reason: str, actor: str
    ) -> execution_pb2.Execution:
        """The execution as it was a moment before. Raises NotFound, or WrongState when it has ended."""
        space = namespace or DEFAULT_NAMESPACE
        found = await self._ledger.find(space, ids=[execution_id], limit=1)
        execution = found.executions[0] if found.executions else await self._promised(space, execution_id)
        if execution is None or job_id not in ("", execution.job_id):
            raise _not_found(space, job_id, execution_id)
        if execution.status not in UNDER_WAY:
            status = Status.Name(execution.status)
            raise WrongState(f"the execution has ended as {status}; only one that waits or runs can be cancelled")
        cancel = stored_job_pb2.StoredCancel(
            execution_id=execution_id,
            namespace=execution.namespace,
            job_id=execution.job_id,
            reason=reason,
            actor=actor,
        )
        cancel.time.FromDatetime(self._clock.now())
        await self._store.add(cancel)
        return execution

    async def _promised(self, namespace: str, execution_id: str) -> execution_pb2.Execution | None:
        """An execution that is promised and not yet in the ledger."""
        trigger = await self._store.promised(namespace, execution_id)
        if trigger is None:
            return None
        try:
            job = (await self._jobs.find(namespace, trigger.job_id)).stored.job
        except NotFound:
            return None
        return pending_execution(trigger, job)


def _not_found(namespace: str, job_id: str, execution_id: str) -> Fault:
    place = f'of the job "{job_id}" in namespace "{namespace}"' if job_id else f'in namespace "{namespace}"'
    return NotFound(f'there is no execution "{execution_id}" {place}', metadata={"execution": execution_id})
