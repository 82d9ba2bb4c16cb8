"""Between stored messages and the values that the firing path works with."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from sys import intern

from chronos.dispatcher.v1 import delivery_service_pb2
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.scheduler.convert.schedule import spec_of
from services.scheduler.domain.identity import EPOCH, microseconds
from services.scheduler.domain.occurrence import (
    MOST_QUEUED_RUNS,
    NO_TAGS,
    USUAL_PRIORITY,
    Cause,
    Concurrency,
    FiringJob,
    MissedPolicy,
    MissedRules,
    Origin,
    Run,
)
from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.job_schedule import JobSchedule, build_schedule
from services.scheduler.tracing import firing_traceparent

Job = job_pb2.Job
CAUSES = {
    Cause.SCHEDULE: execution_pb2.Execution.SCHEDULE,
    Cause.MANUAL: execution_pb2.Execution.MANUAL,
    Cause.DEPENDENCY: execution_pb2.Execution.DEPENDENCY,
    Cause.BACKFILL: execution_pb2.Execution.BACKFILL,
    Cause.REPLAY: execution_pb2.Execution.REPLAY,
}
CAUSES_BACK = {value: cause for cause, value in CAUSES.items()}
CONCURRENCIES = {
    Job.ALLOW: Concurrency.ALLOW,
    Job.FORBID: Concurrency.FORBID,
    Job.REPLACE: Concurrency.REPLACE,
    Job.QUEUE: Concurrency.QUEUE,
}
MISSED_POLICIES = {
    Job.IGNORE: MissedPolicy.IGNORE,
    Job.EXECUTE_ONE: MissedPolicy.EXECUTE_ONE,
    Job.EXECUTE_ALL: MissedPolicy.EXECUTE_ALL,
}
DEFINITION_BYTES = 16
DELIVERED = ("target", "signing", "cloud_event")
MANUAL = "@manual"


def job_schedule(stored: stored_job_pb2.StoredJob, calendars: Mapping[str, DaySet]) -> JobSchedule | None:
    """When a job runs; None when it has no times of its own. Raises ScheduleError."""
    if stored.job.schedule.strip().lower() in ("", MANUAL):
        return None
    counts_from = instant(stored.counts_from if stored.HasField("counts_from") else stored.job.created_at)
    return build_schedule(spec_of(stored.job, counts_from=counts_from), calendars)


def firing_job(stored: stored_job_pb2.StoredJob, calendars: Mapping[str, DaySet]) -> FiringJob:
    """The job as the firing path sees it. Raises ScheduleError when its schedule means nothing any more."""
    job = stored.job
    definition = _handed_on(job).SerializeToString(deterministic=True)
    return FiringJob(
        namespace=job.namespace,
        id=job.id,
        uid=job.uid,
        name=job.name,
        version=job.version,
        is_enabled=job.enabled,
        schedule=job_schedule(stored, calendars),
        effective_at=instant(stored.effective_at),
        disabled_at=instant(stored.disabled_at) if stored.HasField("disabled_at") else None,
        definition=definition,
        definition_id=_hash(definition),
        calendars=calendars_of(job),
        concurrency=CONCURRENCIES.get(job.concurrency, Concurrency.FORBID),
        max_queued_runs=job.max_queued_runs or MOST_QUEUED_RUNS,
        priority=job.priority or USUAL_PRIORITY,
        missed=missed_rules(job),
        is_at_most_once=job.delivery_guarantee == Job.AT_MOST_ONCE,
        is_asynchronous=job.HasField("completion"),
        limit_key=limit_key(job),
        tags=_tags(job),
    )


def limit_key(job: Job) -> str:
    """What runs that share limits of their target have in common; empty without limits.

    Dispatchers make the same key of the job that they are handed.
    """
    if not job.HasField("limits"):
        return ""
    return f"{job.namespace}/{job.limits.name}" if job.limits.name else job.uid


def _tags(job: Job) -> Mapping[str, str]:
    """The tags of a job; many jobs share the same texts, which are kept once."""
    return {intern(key): intern(value) for key, value in job.tags.items()} if job.tags else NO_TAGS


def calendars_of(job: Job) -> tuple[str, ...]:
    """The ids of the calendars that a job names."""
    return (*job.calendars.include, *job.calendars.exclude)


def _handed_on(job: Job) -> Job:
    handed_on = Job(
        namespace=job.namespace,
        id=job.id,
        uid=job.uid,
        name=job.name,
        version=job.version,
        retry_policy=job.retry_policy,
        timeout=job.timeout,
        priority=job.priority if job.HasField("priority") else None,
        delivery_guarantee=job.delivery_guarantee,
    )
    for name in (job.WhichOneof("target"), "signing", "cloud_event", "limits", "completion"):
        if name is not None and job.HasField(name):
            getattr(handed_on, name).CopyFrom(getattr(job, name))
    return handed_on


def _hash(definition: bytes) -> bytes:
    return blake2b(definition, digest_size=DEFINITION_BYTES).digest()


def missed_rules(job: Job) -> MissedRules:
    """How a job makes up for missed runs; what it leaves out takes its default."""
    bounds, usual = job.catch_up, MissedRules()
    return MissedRules(
        policy=MISSED_POLICIES.get(job.missed_run_policy, usual.policy),
        window=bounds.window.ToTimedelta() if bounds.HasField("window") else usual.window,
        max_runs=bounds.max_runs if bounds.HasField("max_runs") else usual.max_runs,
        interval=bounds.interval.ToTimedelta() if bounds.HasField("interval") else usual.interval,
    )


def delivery_of(run: Run) -> delivery_service_pb2.Delivery:
    """What a dispatcher is sent."""
    message = delivery_service_pb2.Delivery(
        execution_id=run.execution_id,
        cause=CAUSES[run.cause],
        delivery=run.delivery,
        shard=run.shard,
        epoch=run.epoch,
        traceparent=run.traceparent,
        definition_id=run.job.definition_id,
    )
    message.job.MergeFromString(run.job.definition)
    seconds, rest = divmod(run.scheduled_us, 1_000_000)
    message.scheduled_time.seconds = seconds
    message.scheduled_time.nanos = rest * 1000
    for attempt in run.attempts:
        message.attempts.add().MergeFromString(attempt)
    if run.cause is not Cause.SCHEDULE:
        message.origin.actor = run.origin.actor
        message.origin.replay_of = run.origin.replay_of
        message.origin.parent_execution_ids.extend(run.origin.parent_execution_ids)
    return message


def deleted_job(namespace: str, job_id: str, uid: str, *, name: str = "", version: int = 0) -> FiringJob:
    """What is known of a job that is gone: it cannot be handed out."""
    return FiringJob(
        namespace=namespace,
        id=job_id,
        uid=uid,
        name=name,
        version=version,
        is_enabled=False,
        schedule=None,
        effective_at=EPOCH,
        definition=b"",
    )


def adopted_run(execution: execution_pb2.Execution, job: FiringJob, *, shard: int, epoch: int) -> Run:
    """A run that an earlier owner handed out, or let wait for its turn, from its record."""
    is_accepted = execution.reason_code == execution_pb2.Execution.ACCEPTED and execution.HasField("complete_by")
    cause = CAUSES_BACK.get(execution.cause, Cause.SCHEDULE)
    return Run(
        execution_id=execution.id,
        job=job,
        shard=shard,
        epoch=epoch,
        scheduled_us=microseconds(instant(execution.scheduled_time)),
        cause=cause,
        concurrency=Concurrency.QUEUE,
        is_patient=True,
        traceparent=firing_traceparent(execution.id, job.id, cause),
        delivery=max(1, execution.delivery),
        attempts=tuple(attempt.SerializeToString() for attempt in execution.attempts),
        origin=Origin(
            actor=execution.actor,
            replay_of=execution.replay_of,
            parent_execution_ids=tuple(execution.parent_execution_ids),
        ),
        complete_by_us=microseconds(instant(execution.complete_by)) if is_accepted else None,
    )


def promised_run(trigger: stored_job_pb2.StoredTrigger, job: FiringJob, *, shard: int, epoch: int) -> Run:
    """A run that was asked for."""
    cause = cause_of(trigger)
    return Run(
        execution_id=trigger.execution_id,
        job=with_request(job, trigger),
        shard=shard,
        epoch=epoch,
        scheduled_us=microseconds(moment(trigger)),
        cause=cause,
        concurrency=CONCURRENCIES.get(trigger.concurrency, job.concurrency),
        is_patient=cause is Cause.BACKFILL,
        traceparent=firing_traceparent(trigger.execution_id, job.id, cause, parent=trigger.traceparent),
        origin=Origin(
            actor=trigger.actor,
            replay_of=trigger.replay_of,
            parent_execution_ids=tuple(trigger.parent_execution_ids),
        ),
    )


def with_request(job: FiringJob, trigger: stored_job_pb2.StoredTrigger) -> FiringJob:
    """The job with what a replay delivers instead of what it says itself."""
    if not job.definition or not (is_replay(trigger) or trigger.skip_retries):
        return job
    definition = Job.FromString(job.definition)
    if trigger.HasField("recorded"):
        for name in DELIVERED:
            definition.ClearField(name)  # type: ignore[arg-type]
        definition.MergeFrom(trigger.recorded)
    elif trigger.HasField("webhook"):
        definition.webhook.CopyFrom(trigger.webhook)
    if trigger.skip_retries:
        definition.retry_policy.max_attempts = 1
    replaced = definition.SerializeToString(deterministic=True)
    return replace(job, definition=replaced, definition_id=_hash(replaced))


def is_replay(trigger: stored_job_pb2.StoredTrigger) -> bool:
    """Whether a run delivers something else than its job says."""
    return trigger.HasField("recorded") or trigger.HasField("webhook")


def cause_of(trigger: stored_job_pb2.StoredTrigger) -> Cause:
    """What asked for a run: a call of TriggerJob, if nothing else is said."""
    return CAUSES_BACK.get(trigger.cause, Cause.MANUAL)


def trace_id_of(trigger: stored_job_pb2.StoredTrigger) -> str:
    """The W3C trace id of a run that was asked for: that of the call, else the execution's own."""
    return trigger.traceparent.split("-")[1] if trigger.traceparent else trigger.execution_id.replace("-", "")


def moment(trigger: stored_job_pb2.StoredTrigger) -> datetime:
    """When a run was asked for."""
    return instant(trigger.time)


def instant(timestamp: Timestamp) -> datetime:
    """The aware UTC datetime of a Timestamp."""
    return timestamp.ToDatetime(tzinfo=UTC)
