"""The customer's program: calls the scheduler's API and remembers what it was told."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import grpc
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import (
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    run_rules_pb2,
    run_service_pb2,
    run_service_pb2_grpc,
    target_pb2,
)

from tests.faults.history import Call, CallKind, JobRules, Outcome
from tests.simulation.clock import EPOCH, MICROSECOND, TrueTime
from tests.simulation.plan import PlannedCall, PlannedJob

Job = job_pb2.Job
NAMESPACE = "default"
DEADLINE = 10.0
# After a call that broke, wait until it can no longer be on its way.
LINGERING = 30.0
PAUSE = 0.5
MAYBE_DONE = frozenset({
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED,
})  # fmt: skip
OF_RUNS = frozenset({CallKind.TRIGGER, CallKind.CANCEL})


class Stubs:
    """What a scheduler offers to its users."""

    jobs: "job_service_pb2_grpc.JobServiceAsyncStub"
    runs: "run_service_pb2_grpc.RunServiceAsyncStub"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.jobs = job_service_pb2_grpc.JobServiceStub(channel)
        self.runs = run_service_pb2_grpc.RunServiceStub(channel)


class Client:
    """Calls about one job are made one after the other, so that it is known what the job is."""

    def __init__(self, pick_stubs: Callable[[], Stubs], time: TrueTime, metadata: tuple[tuple[str, str], ...]) -> None:
        self.calls: list[Call] = []
        self._pick_stubs = pick_stubs
        self._time = time
        self._metadata = metadata
        self._rules: dict[str, JobRules] = {}
        self._versions: dict[str, int] = {}
        self._last: dict[str, str] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def create(self, planned: PlannedJob) -> None:
        """Creates a job; when it is there already, that is refused."""
        async with self._turn(planned.id):
            await self._create(planned)

    async def change(self, call: PlannedCall, planned: PlannedJob) -> None:
        """Makes a planned call."""
        async with self._turn(call.job):
            match call.kind:
                case CallKind.CREATE:
                    await self._create(planned)
                case CallKind.DELETE:
                    await self._delete(call.job)
                case CallKind.TRIGGER:
                    await self._trigger(call.job)
                case CallKind.CANCEL:
                    await self._cancel(call.job)
                case _:
                    await self._modify(call)

    async def pause_all(self, jobs: Sequence[str]) -> None:
        """Disables every job, so that what waits for its turn does not wait for ever."""
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(self._pause(job))

    async def _pause(self, job: str) -> None:
        async with self._turn(job):
            await self._modify(PlannedCall(at=0.0, kind=CallKind.PAUSE, job=job))

    def _turn(self, job: str) -> asyncio.Lock:
        return self._turns.setdefault(job, asyncio.Lock())

    async def _create(self, planned: PlannedJob) -> None:
        request = job_service_pb2.CreateJobRequest(namespace=NAMESPACE, job=job_of(planned))
        await self._call(
            CallKind.CREATE,
            planned.id,
            planned.rules,
            lambda stubs: stubs.jobs.CreateJob(request, timeout=DEADLINE, metadata=self._metadata),
        )

    async def _delete(self, job: str) -> None:
        request = job_service_pb2.DeleteJobRequest(namespace=NAMESPACE, id=job)
        await self._call(
            CallKind.DELETE,
            job,
            None,
            lambda stubs: stubs.jobs.DeleteJob(request, timeout=DEADLINE, metadata=self._metadata),
        )

    async def _trigger(self, job: str) -> None:
        request = job_service_pb2.TriggerJobRequest(namespace=NAMESPACE, id=job)
        await self._call(
            CallKind.TRIGGER,
            job,
            None,
            lambda stubs: stubs.jobs.TriggerJob(request, timeout=DEADLINE, metadata=self._metadata),
        )

    async def _cancel(self, job: str) -> None:
        """Cancels the run that was asked for last."""
        last = self._last.get(job)
        if last is None:
            return
        request = run_service_pb2.CancelExecutionRequest(namespace=NAMESPACE, id=last)
        await self._call(
            CallKind.CANCEL,
            job,
            None,
            lambda stubs: stubs.runs.CancelExecution(request, timeout=DEADLINE, metadata=self._metadata),
            execution_id=last,
        )

    async def _modify(self, call: PlannedCall) -> None:
        rules = self._rules.get(call.job)
        if rules is None:
            return
        job, space = call.job, NAMESPACE
        if call.kind is CallKind.UPDATE:
            changed = job_service_pb2.UpdateJobRequest(
                namespace=space, id=job, job=Job(schedule=call.schedule, timezone=call.timezone)
            )
            changed.update_mask.paths.extend(("schedule", "timezone"))
            rules = replace(rules, schedule=call.schedule, timezone=call.timezone)
            await self._call(
                call.kind,
                job,
                rules,
                lambda stubs: stubs.jobs.UpdateJob(changed, timeout=DEADLINE, metadata=self._metadata),
            )
        elif call.kind is CallKind.PAUSE:
            paused = job_service_pb2.DisableJobRequest(namespace=space, id=job)
            rules = replace(rules, is_enabled=False)
            await self._call(
                call.kind,
                job,
                rules,
                lambda stubs: stubs.jobs.DisableJob(paused, timeout=DEADLINE, metadata=self._metadata),
            )
        else:
            resumed = job_service_pb2.EnableJobRequest(namespace=space, id=job)
            rules = replace(rules, is_enabled=True)
            await self._call(
                call.kind,
                job,
                rules,
                lambda stubs: stubs.jobs.EnableJob(resumed, timeout=DEADLINE, metadata=self._metadata),
            )

    async def _call(
        self,
        kind: CallKind,
        job: str,
        rules: JobRules | None,
        make: Callable[[Stubs], Awaitable[object]],
        execution_id: str = "",
    ) -> None:
        sent_us = self._time.now_us()
        outcome, answer = Outcome.ACKNOWLEDGED, None
        try:
            answer = await make(self._pick_stubs())
        except grpc.aio.AioRpcError as error:
            outcome = Outcome.UNKNOWN if error.code() in MAYBE_DONE else Outcome.REFUSED
        call = Call(
            kind=kind,
            job=f"{NAMESPACE}/{job}",
            sent_us=sent_us,
            answered_us=None if outcome is Outcome.UNKNOWN else self._time.now_us(),
            outcome=outcome,
            rules=rules,
            execution_id=execution_id,
        )
        if isinstance(answer, Job):
            call = replace(call, version=answer.version, uid=answer.uid, rules=_with_begin(rules, answer))
        if isinstance(answer, execution_pb2.Execution):
            call = replace(call, execution_id=answer.id)
            self._last[job] = answer.id
        if outcome is Outcome.UNKNOWN and kind not in OF_RUNS:
            await asyncio.sleep(LINGERING)
            call = await self._settled(call, job)
        self.calls.append(call)
        if call.outcome is Outcome.ACKNOWLEDGED and kind not in OF_RUNS:
            self._remember(job, None if kind is CallKind.DELETE else call.rules, call.version)

    async def _settled(self, call: Call, job: str) -> Call:
        """A call that broke, once it is known whether it was done; it can be on its way no more."""
        found = await self._look(job)
        if call.kind is CallKind.DELETE:
            is_done = found is None
        else:
            is_done = found is not None and found.version > self._versions.get(job, 0)
        answered_us = self._time.now_us()
        if not is_done:
            return replace(call, outcome=Outcome.REFUSED, answered_us=answered_us)
        call = replace(call, outcome=Outcome.ACKNOWLEDGED, answered_us=answered_us)
        if found is None:
            return call
        return replace(call, version=found.version, uid=found.uid, rules=_with_begin(call.rules, found))

    async def _look(self, job: str) -> Job | None:
        """What the job is now, as soon as somebody answers."""
        request = job_service_pb2.GetJobRequest(namespace=NAMESPACE, id=job)
        while True:
            try:
                return await self._pick_stubs().jobs.GetJob(request, timeout=DEADLINE, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
            await asyncio.sleep(PAUSE)

    def _remember(self, job: str, rules: JobRules | None, version: int) -> None:
        if rules is None:
            self._rules.pop(job, None)
            self._versions.pop(job, None)
        else:
            self._rules[job] = rules
            self._versions[job] = version


def job_of(planned: PlannedJob) -> Job:
    """The job as it is created."""
    rules = planned.rules
    job = Job(
        id=planned.id,
        name=planned.id,
        schedule=rules.schedule,
        timezone=rules.timezone if rules.schedule else "",
        enabled=rules.is_enabled,
        concurrency=Job.Concurrency.Value(rules.concurrency.value),
        missed_run_policy=Job.MissedRunPolicy.Value(rules.missed.value),
        max_queued_runs=rules.max_queued_runs,
        delivery_guarantee=Job.DeliveryGuarantee.Value(rules.guarantee.value),
        webhook=target_pb2.WebhookTarget(url=f"http://endpoint/{planned.id}", method="POST"),
    )
    if rules.depends_on:
        job.dependencies.depends_on.extend(name.removeprefix(f"{NAMESPACE}/") for name in rules.depends_on)
        job.dependencies.condition = run_rules_pb2.Dependencies.ALL_COMPLETE
    if rules.completion_us:
        job.completion.deadline.FromMicroseconds(rules.completion_us)
    job.timeout.FromTimedelta(planned.timeout)
    job.retry_policy.max_attempts = rules.max_attempts
    job.retry_policy.initial_interval.FromTimedelta(timedelta(seconds=1))
    return job


def _with_begin(rules: JobRules | None, job: Job) -> JobRules | None:
    if rules is None:
        return None
    return replace(rules, created_us=(job.created_at.ToDatetime(EPOCH.tzinfo) - EPOCH) // MICROSECOND)
