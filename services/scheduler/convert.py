"""Between stored messages and the values that the firing path works with."""

from datetime import UTC, datetime, timedelta

from chronos.dispatcher.v1 import delivery_service_pb2
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.scheduler.domain.identity import EPOCH, microseconds
from services.scheduler.domain.occurrence import Cause, FiringJob, Run
from services.scheduler.domain.schedule.parse import IntervalSchedule, parse_schedule
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.firing.tracing import firing_traceparent

CAUSES = {Cause.SCHEDULE: execution_pb2.Execution.SCHEDULE, Cause.MANUAL: execution_pb2.Execution.MANUAL}
CAUSES_BACK = {value: cause for cause, value in CAUSES.items()}


def firing_job(stored: stored_job_pb2.StoredJob) -> FiringJob:
    """The job as the firing path sees it. Raises ScheduleError when its schedule means nothing any more."""
    job = stored.job
    handed_on = job_pb2.Job(
        namespace=job.namespace,
        id=job.id,
        uid=job.uid,
        name=job.name,
        version=job.version,
        retry_policy=job.retry_policy,
        timeout=job.timeout,
        webhook=job.webhook,
    )
    return FiringJob(
        namespace=job.namespace,
        id=job.id,
        uid=job.uid,
        name=job.name,
        version=job.version,
        is_enabled=job.enabled,
        schedule=schedule_of(job),
        effective_at=instant(stored.effective_at),
        definition=handed_on.SerializeToString(),
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
    )
    message.job.MergeFromString(run.job.definition)
    seconds, rest = divmod(run.scheduled_us, 1_000_000)
    message.scheduled_time.seconds = seconds
    message.scheduled_time.nanos = rest * 1000
    for attempt in run.attempts:
        message.attempts.add().MergeFromString(attempt)
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
        schedule=IntervalSchedule(timedelta(days=1), EPOCH),
        effective_at=EPOCH,
        definition=b"",
    )


def adopted_run(execution: execution_pb2.Execution, job: FiringJob, *, shard: int, epoch: int) -> Run:
    """A run that an earlier owner handed out, from its record."""
    cause = CAUSES_BACK.get(execution.cause, Cause.SCHEDULE)
    return Run(
        execution_id=execution.id,
        job=job,
        shard=shard,
        epoch=epoch,
        scheduled_us=microseconds(instant(execution.scheduled_time)),
        cause=cause,
        traceparent=firing_traceparent(execution.id, job.id, cause),
        delivery=max(1, execution.delivery),
        attempts=tuple(attempt.SerializeToString() for attempt in execution.attempts),
    )


def manual_run(trigger: stored_job_pb2.StoredTrigger, job: FiringJob, *, shard: int, epoch: int) -> Run:
    """A run that was asked for."""
    return Run(
        execution_id=trigger.execution_id,
        job=job,
        shard=shard,
        epoch=epoch,
        scheduled_us=microseconds(moment(trigger)),
        cause=Cause.MANUAL,
        traceparent=firing_traceparent(trigger.execution_id, job.id, Cause.MANUAL, parent=trigger.traceparent),
    )


def trace_id_of(trigger: stored_job_pb2.StoredTrigger) -> str:
    """The W3C trace id of a run that was asked for: that of the call, else the execution's own."""
    return trigger.traceparent.split("-")[1] if trigger.traceparent else trigger.execution_id.replace("-", "")


def moment(trigger: stored_job_pb2.StoredTrigger) -> datetime:
    """When a run was asked for."""
    return instant(trigger.time)


def schedule_of(job: job_pb2.Job) -> Schedule:
    """When a job runs; `@every` counts from its creation. Raises ScheduleError."""
    return parse_schedule(job.schedule, job.timezone, anchor=instant(job.created_at))


def instant(timestamp: Timestamp) -> datetime:
    """The aware UTC datetime of a Timestamp."""
    return timestamp.ToDatetime(tzinfo=UTC)
