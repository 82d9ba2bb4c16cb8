"""Runs that somebody asks for: promised in etcd, and fired by the shard's owner."""

from collections.abc import Sequence
from datetime import datetime

from chronos.history.v1 import execution_pb2
from chronos.policy.v1 import policy_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs import telemetry
from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.convert.firing import trace_id_of
from services.scheduler.domain.identity import manual_execution_id, microseconds
from services.scheduler.policies.guard import Guard
from services.scheduler.policies.questions import Subject, one_job
from services.scheduler.ports.jobs import JobFinder
from services.scheduler.ports.ledger import Ledger, Note
from services.scheduler.ports.orders import Promise, TriggerStore

Cause = execution_pb2.Execution.Cause
Concurrency = job_pb2.Job.Concurrency
NOTES_AT_ONCE = 1000


class Triggers:
    """The promise: answers with an execution as soon as it is durable."""

    def __init__(self, jobs: JobFinder, store: TriggerStore, ledger: Ledger, guard: Guard, clock: Clock) -> None:
        self._jobs = jobs
        self._store = store
        self._ledger = ledger
        self._guard = guard
        self._clock = clock
        self._log = get_logger()

    async def trigger(
        self,
        namespace: str,
        job_id: str,
        *,
        request_id: str,
        concurrency: "Concurrency.ValueType" = job_pb2.Job.CONCURRENCY_UNSPECIFIED,
        actor: str = "",
    ) -> execution_pb2.Execution:
        """Promises a run of a job, disabled or not. Raises NotFound or Refused."""
        stored = (await self._jobs.find(namespace, job_id)).stored
        job = stored.job
        await self._guard.ensure(
            Subject(operation=policy_pb2.Policy.TRIGGER, namespace=job.namespace, stored=stored, extent=one_job(runs=1))
        )
        now = self._clock.now()
        trigger = new_trigger(
            job, manual_execution_id(microseconds(now)), time=now, cause=execution_pb2.Execution.MANUAL, actor=actor
        )
        trigger.concurrency = concurrency
        return await self.promise(trigger, job, request_id=request_id)

    async def promise(
        self, trigger: stored_job_pb2.StoredTrigger, job: job_pb2.Job, *, request_id: str
    ) -> execution_pb2.Execution:
        """Promises one run of a job. The first one is answered when `request_id` is repeated within 24 h."""
        promise = await self._store.add(trigger, request_id=request_id)
        return (await self._announced([promise], job))[0]

    async def promise_all(
        self, triggers: Sequence[stored_job_pb2.StoredTrigger], job: job_pb2.Job
    ) -> list[execution_pb2.Execution]:
        """Promises runs of a job, in their order. One that is promised already stays as it is."""
        return await self._announced(await self._store.add_many(triggers), job)

    async def _announced(self, promises: Sequence[Promise], job: job_pb2.Job) -> list[execution_pb2.Execution]:
        """The executions, which history shows before they start. The promises hold without that."""
        notes = [
            Note(execution=pending_execution(promise.trigger, job), shard=promise.shard, epoch=promise.epoch)
            for promise in promises
        ]
        owned = [note for note in notes if note.epoch]
        try:
            for start in range(0, len(owned), NOTES_AT_ONCE):
                await self._ledger.record(owned[start : start + NOTES_AT_ONCE])
        except Fault as error:
            self._log.info("promised runs not yet in history", execution=notes[0].execution.id, error=error.message)
        return [note.execution for note in notes]


def new_trigger(
    job: job_pb2.Job, execution_id: str, *, time: datetime, cause: "Cause.ValueType", actor: str
) -> stored_job_pb2.StoredTrigger:
    """The wish for a run of a job, due at `time`, in the trace of the present call."""
    trigger = stored_job_pb2.StoredTrigger(
        execution_id=execution_id,
        namespace=job.namespace,
        job_id=job.id,
        job_uid=job.uid,
        traceparent=telemetry.traceparent(),
        cause=cause,
        actor=actor,
    )
    trigger.time.FromDatetime(time)
    return trigger


def pending_execution(trigger: stored_job_pb2.StoredTrigger, job: job_pb2.Job) -> execution_pb2.Execution:
    """The execution of a promise that is not yet kept."""
    return execution_pb2.Execution(
        id=trigger.execution_id,
        namespace=job.namespace,
        job_id=job.id,
        job_uid=job.uid,
        job_name=job.name,
        job_version=job.version,
        cause=trigger.cause or execution_pb2.Execution.MANUAL,
        scheduled_time=trigger.time,
        status=execution_pb2.Execution.PENDING,
        trace_id=trace_id_of(trigger),
        actor=trigger.actor,
        replay_of=trigger.replay_of,
        parent_execution_ids=trigger.parent_execution_ids,
    )
