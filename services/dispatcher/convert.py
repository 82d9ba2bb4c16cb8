"""Domain from and to protobuf."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import job_pb2, target_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.dispatcher.deliveries import Held
from services.dispatcher.domain import trace
from services.dispatcher.domain.backoff import RetryPolicy
from services.dispatcher.domain.event import Event, EventKind
from services.dispatcher.domain.execution import Attempt, Cause, Delivery, Status
from services.dispatcher.domain.plan import DEFAULT_TIMEOUT, Plan
from services.dispatcher.domain.request import (
    BasicCredentials,
    BearerCredentials,
    Credentials,
    KeyCredentials,
    Webhook,
    compile_request,
)
from services.dispatcher.streams import News

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST = timedelta(milliseconds=1)
NO_TIME = timedelta(0)
STATUSES = {
    Status.RUNNING: execution_pb2.Execution.RUNNING,
    Status.SUCCESS: execution_pb2.Execution.SUCCESS,
    Status.FAILED: execution_pb2.Execution.FAILED,
    Status.TIMED_OUT: execution_pb2.Execution.TIMED_OUT,
}
CAUSES = {
    Cause.UNSPECIFIED: execution_pb2.Execution.CAUSE_UNSPECIFIED,
    Cause.SCHEDULE: execution_pb2.Execution.SCHEDULE,
    Cause.MANUAL: execution_pb2.Execution.MANUAL,
}
CAUSES_BY_NUMBER = {number: cause for cause, number in CAUSES.items()}
KINDS = {
    EventKind.RECORDED: delivery_pb2.DeliveryEvent.RECORDED,
    EventKind.FINISHED: delivery_pb2.DeliveryEvent.FINISHED,
    EventKind.RETURNED: delivery_pb2.DeliveryEvent.RETURNED,
    EventKind.STALE: delivery_pb2.DeliveryEvent.STALE,
    EventKind.HELD: delivery_pb2.DeliveryEvent.HELD,
    EventKind.UNKNOWN: delivery_pb2.DeliveryEvent.UNKNOWN,
}


def read_plan(job: job_pb2.Job, *, user_agent: str) -> Plan:
    """How to deliver this version of a job."""
    is_webhook = job.WhichOneof("target") == "webhook"
    webhook = job.webhook
    return Plan(
        namespace=job.namespace,
        job_id=job.id,
        job_uid=job.uid,
        job_name=job.name,
        job_version=job.version,
        request=(
            compile_request(_webhook(webhook), timeout=_timeout(job), user_agent=user_agent) if is_webhook else None
        ),
        success_codes=frozenset(webhook.success_codes),
        retry_policy=_retry_policy(job.retry_policy),
        error="" if is_webhook else "the job has no target that this dispatcher can deliver to",
    )


def read_delivery(message: delivery_pb2.Delivery, plan: Plan) -> Delivery:
    """An execution as a scheduler hands it over."""
    return Delivery(
        execution_id=message.execution_id,
        plan=plan,
        scheduled_time=_moment(message.scheduled_time),
        cause=CAUSES_BY_NUMBER.get(message.cause, Cause.UNSPECIFIED),
        delivery=message.delivery,
        shard=message.shard,
        epoch=message.epoch,
        traceparent=message.traceparent,
    )


def read_attempts(messages: Sequence[execution_pb2.Attempt]) -> tuple[Attempt, ...]:
    """Attempts that earlier deliveries made."""
    return tuple(
        Attempt(
            number=message.number,
            started_at=_moment(message.started_at),
            duration=_span(message.duration),
            status_code=message.status_code,
            error=message.error,
            retry_at=_moment(message.retry_at) if message.HasField("retry_at") else None,
        )
        for message in messages
    )


def write_news(news: News) -> delivery_pb2.DeliverResponse:
    """A message to a scheduler."""
    return delivery_pb2.DeliverResponse(
        credit=news.credit, events=[_event(event) for event in news.events], is_draining=news.is_draining
    )


def write_record(held: Held, record: ledger_service_pb2.ExecutionRecord) -> None:
    """Writes what is known of an execution now into an empty record: tens of thousands a second are not copied."""
    delivery, progress, plan, verdict = held.delivery, held.progress, held.delivery.plan, held.progress.verdict
    record.shard, record.epoch = delivery.shard, delivery.epoch
    execution = record.execution
    execution.id = delivery.execution_id
    execution.namespace = plan.namespace
    execution.job_id = plan.job_id
    execution.job_uid = plan.job_uid
    execution.job_name = plan.job_name
    execution.job_version = plan.job_version
    execution.cause = CAUSES[delivery.cause]
    execution.status = STATUSES[progress.status]
    execution.attempt_count = progress.begun_count
    execution.delivery = delivery.delivery
    execution.trace_id = trace.trace_id(delivery.traceparent)
    _write_moment(delivery.scheduled_time, execution.scheduled_time)
    if progress.started_at is not None:
        _write_moment(progress.started_at, execution.started_at)
        if progress.completed_at is not None:
            _write_moment(progress.completed_at, execution.completed_at)
            _write_span(progress.completed_at - progress.started_at, execution.duration)
    if verdict is not None:
        execution.status_code = verdict.status_code
        execution.response = verdict.response
        execution.is_response_truncated = verdict.is_response_truncated
        execution.error = progress.attempts[-1].error
    for attempt in progress.attempts:
        _write_attempt(attempt, execution.attempts.add())


def _webhook(message: target_pb2.WebhookTarget) -> Webhook:
    return Webhook(
        url=message.url,
        method=message.method,
        headers=dict(message.headers),
        body=message.body,
        credentials=_credentials(message.auth),
    )


def _credentials(message: target_pb2.WebhookAuth) -> Credentials | None:
    match message.WhichOneof("kind"):
        case "basic":
            return BasicCredentials(username=message.basic.username, password=message.basic.password)
        case "bearer":
            return BearerCredentials(token=message.bearer.token)
        case "api_key":
            return KeyCredentials(header=message.api_key.header, key=message.api_key.key)
        case _:
            return None


def _timeout(job: job_pb2.Job) -> timedelta:
    if job.webhook.HasField("timeout"):
        return max(_span(job.webhook.timeout), SHORTEST)
    return max(_span(job.timeout), SHORTEST) if job.HasField("timeout") else DEFAULT_TIMEOUT


def _retry_policy(message: target_pb2.RetryPolicy) -> RetryPolicy:
    policy = RetryPolicy()
    if message.HasField("max_attempts"):
        policy = replace(policy, max_attempts=message.max_attempts)
    if message.HasField("initial_interval"):
        policy = replace(policy, initial_interval=max(_span(message.initial_interval), SHORTEST))
    if message.HasField("max_interval"):
        policy = replace(policy, max_interval=max(_span(message.max_interval), SHORTEST))
    if message.HasField("multiplier"):
        policy = replace(policy, multiplier=message.multiplier)
    return policy


def _event(event: Event) -> delivery_pb2.DeliveryEvent:
    message = delivery_pb2.DeliveryEvent(execution_id=event.execution_id, kind=KINDS[event.kind])
    if event.status is not None:
        message.status = STATUSES[event.status]
    for attempt in event.attempts:
        _write_attempt(attempt, message.attempts.add())
    return message


def _write_attempt(attempt: Attempt, message: execution_pb2.Attempt) -> None:
    message.number = attempt.number
    message.status_code = attempt.status_code
    message.error = attempt.error
    _write_moment(attempt.started_at, message.started_at)
    _write_span(attempt.duration, message.duration)
    if attempt.retry_at is not None:
        _write_moment(attempt.retry_at, message.retry_at)


def _moment(message: Timestamp) -> datetime:
    return EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def _write_moment(moment: datetime, message: Timestamp) -> None:
    since = moment - EPOCH
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1_000


def _span(message: Duration) -> timedelta:
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def _write_span(span: timedelta, message: Duration) -> None:
    # Between two machines' clocks a span may come out negative.
    span = max(span, NO_TIME)
    message.seconds = span.days * 86_400 + span.seconds
    message.nanos = span.microseconds * 1_000
