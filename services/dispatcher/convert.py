"""What passes between schedulers and the dispatcher."""

from collections.abc import Sequence

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.history.v1 import execution_pb2

from services.dispatcher.convert_records import CAUSES, REASONS, STATUSES, write_attempt
from services.dispatcher.domain import trace
from services.dispatcher.domain.event import Event, EventKind
from services.dispatcher.domain.execution import Attempt, Cause, Delivery, Ending, Origin, Reason
from services.dispatcher.domain.plan import Plan
from services.dispatcher.protobuf_times import read_moment, read_span
from services.dispatcher.streams import News

CAUSES_BY_NUMBER = {number: cause for cause, number in CAUSES.items()}
REASONS_BY_NUMBER = {number: reason for reason, number in REASONS.items()}
KINDS = {kind: delivery_pb2.DeliveryEvent.Kind.Value(kind.name) for kind in EventKind}


def read_delivery(message: delivery_pb2.Delivery, plan: Plan) -> Delivery:
    """An execution as a scheduler hands it over."""
    return Delivery(
        execution_id=message.execution_id,
        plan=plan,
        scheduled_time=read_moment(message.scheduled_time),
        cause=CAUSES_BY_NUMBER.get(message.cause, Cause.UNSPECIFIED),
        delivery=message.delivery,
        shard=message.shard,
        epoch=message.epoch,
        traceparent=message.traceparent,
        trace_id=trace.trace_id(message.traceparent),
        origin=_origin(message.origin) if message.HasField("origin") else None,
    )


def read_attempts(messages: Sequence[execution_pb2.Attempt]) -> tuple[Attempt, ...]:
    """Attempts that earlier deliveries made."""
    return tuple(
        Attempt(
            number=message.number,
            started_at=read_moment(message.started_at),
            duration=read_span(message.duration),
            status_code=message.status_code,
            error=message.error,
            retry_at=read_moment(message.retry_at) if message.HasField("retry_at") else None,
        )
        for message in messages
    )


def read_ending(message: delivery_pb2.Cancellation) -> Ending:
    """Why an execution is to be cancelled."""
    code = REASONS_BY_NUMBER.get(message.reason_code, Reason.NONE)
    return Ending(reason=message.reason or "cancelled", code=code)


def write_news(news: News) -> delivery_pb2.DeliverResponse:
    """A message to a scheduler."""
    return delivery_pb2.DeliverResponse(
        credit=news.credit, events=[_event(event) for event in news.events], is_draining=news.is_draining
    )


def _origin(message: execution_pb2.Execution) -> Origin:
    return Origin(
        actor=message.actor, replay_of=message.replay_of, parent_execution_ids=tuple(message.parent_execution_ids)
    )


def _event(event: Event) -> delivery_pb2.DeliveryEvent:
    message = delivery_pb2.DeliveryEvent(execution_id=event.execution_id, kind=KINDS[event.kind])
    message.epoch, message.delivery = event.epoch, event.delivery
    if event.status is not None:
        message.status = STATUSES[event.status]
    for attempt in event.attempts:
        write_attempt(attempt, message.attempts.add())
    return message
