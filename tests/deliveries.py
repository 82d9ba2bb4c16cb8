"""Deliveries for tests, as a scheduler would send them."""

import uuid
from datetime import UTC, datetime, timedelta

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, target_pb2

from services.dispatcher.settings import DispatcherSettings

SCHEDULED = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-00"
QUICK = timedelta(milliseconds=1)


def quick_settings(**changes: object) -> DispatcherSettings:
    """Settings with short intervals."""
    values: dict[str, object] = {"event_interval": QUICK, "record_interval": QUICK, "drain_timeout": "2s"}
    return DispatcherSettings.model_validate(values | changes)


def make_job(url: str, *, max_attempts: int = 3, **webhook: object) -> job_pb2.Job:
    """A webhook job that retries after 1 ms."""
    job = job_pb2.Job(namespace="default", id="report", uid=str(uuid.uuid4()), name='Büro "report"', version=7)
    job.webhook.CopyFrom(target_pb2.WebhookTarget(url=url, **webhook))  # type: ignore[arg-type]
    job.retry_policy.max_attempts = max_attempts
    job.retry_policy.initial_interval.FromTimedelta(QUICK)
    job.retry_policy.max_interval.FromTimedelta(QUICK)
    return job


def make_delivery(
    job: job_pb2.Job, *, execution_id: str = "", scheduled_time: datetime = SCHEDULED, delivery: int = 1, epoch: int = 5
) -> delivery_pb2.Delivery:
    """The first delivery of an execution."""
    message = delivery_pb2.Delivery(
        execution_id=execution_id or str(uuid.uuid4()),
        job=job,
        cause=execution_pb2.Execution.SCHEDULE,
        delivery=delivery,
        shard=3,
        epoch=epoch,
        traceparent=TRACEPARENT,
    )
    message.scheduled_time.FromDatetime(scheduled_time)
    return message
