"""Runs that somebody asks for: promised in etcd, and fired by the shard's owner."""

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs import telemetry
from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.convert import trace_id_of
from services.scheduler.domain.identity import manual_execution_id, microseconds
from services.scheduler.jobs import Jobs
from services.scheduler.ports import Ledger, Note, Promise, TriggerStore


class Triggers:
    """The promise: answers with an execution as soon as it is durable."""

    def __init__(self, jobs: Jobs, store: TriggerStore, ledger: Ledger, clock: Clock) -> None:
        self._jobs = jobs
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._log = get_logger()

    async def trigger(self, namespace: str, job_id: str, *, request_id: str) -> execution_pb2.Execution:
        """Promises a run of a job, disabled or not. Raises NotFound."""
        job = (await self._jobs.find(namespace, job_id)).stored.job
        now = self._clock.now()
        trigger = stored_job_pb2.StoredTrigger(
            execution_id=manual_execution_id(microseconds(now)),
            namespace=job.namespace,
            job_id=job.id,
            job_uid=job.uid,
            traceparent=telemetry.traceparent(),
        )
        trigger.time.FromDatetime(now)
        promise = await self._store.add(trigger, request_id=request_id)
        promised = promise.trigger
        execution = execution_pb2.Execution(
            id=promised.execution_id,
            namespace=job.namespace,
            job_id=job.id,
            job_uid=job.uid,
            job_name=job.name,
            job_version=job.version,
            cause=execution_pb2.Execution.MANUAL,
            scheduled_time=promised.time,
            status=execution_pb2.Execution.PENDING,
            trace_id=trace_id_of(promised),
        )
        await self._announce(execution, promise)
        return execution

    async def _announce(self, execution: execution_pb2.Execution, promise: Promise) -> None:
        """Lets history show the run before it starts. The promise holds without it."""
        if not promise.epoch:
            return
        note = Note(execution=execution, shard=promise.shard, epoch=promise.epoch)
        try:
            await self._ledger.record([note])
        except Fault as error:
            self._log.info("promised run not yet in history", execution=execution.id, error=error.message)
