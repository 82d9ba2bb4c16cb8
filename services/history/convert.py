"""Executions as callers see them."""

from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.execution_pb2 import Request as RequestMessage
from chronos.history.v1.ledger_service_pb2 import Definition as DefinitionMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.history.domain.records import Definition, Record
from services.history.domain.request import Facts, Request, fill_in
from services.history.executions import Detailed


def execution_from(record: Record) -> Execution:
    """The execution as callers see it."""
    message = Execution.FromString(record.attempts + record.details)
    message.id = uuid_text(record.id)
    message.namespace = record.namespace
    message.job_id = record.job_id
    message.job_uid = record.job_uid
    message.job_name = record.job_name
    message.job_version = record.job_version
    message.cause = record.cause  # type: ignore[assignment]
    _set_moment(message.scheduled_time, record.scheduled_us)
    if record.started_us is not None:
        _set_moment(message.started_at, record.started_us)
    if record.completed_us is not None:
        _set_moment(message.completed_at, record.completed_us)
    if record.started_us is not None and record.completed_us is not None:
        _set_span(message.duration, max(0, record.completed_us - record.started_us))
    message.status = record.status  # type: ignore[assignment]
    message.attempt_count = record.attempt_count
    message.status_code = record.status_code
    message.response = record.response
    message.is_response_truncated = bool(record.is_response_truncated)
    message.error = record.error
    message.reason = record.reason
    message.delivery = record.delivery
    message.trace_id = record.trace_id
    message.dispatcher = record.dispatcher
    if record.reason_code:
        message.reason_code = record.reason_code  # type: ignore[assignment]
    if record.skipped_until_us is not None:
        _set_moment(message.skipped_until, record.skipped_until_us)
    message.is_settled = bool(record.is_settled)
    return message


def detailed_execution_from(detailed: Detailed) -> Execution:
    """The execution with the request that it was first sent with."""
    record = detailed.record
    message = execution_from(record)
    if detailed.definition is not None:
        told = RequestMessage.FromString(detailed.definition.request)
        facts = Facts(
            namespace=record.namespace,
            job_id=record.job_id,
            job_name=record.job_name,
            execution_id=message.id,
            scheduled_us=record.scheduled_us,
            started_us=record.started_us,
        )
        asked = Request(method=told.method, url=told.url, headers=dict(told.headers), body=told.body)
        sent = fill_in(asked, facts)
        message.request.CopyFrom(RequestMessage(method=sent.method, url=sent.url, headers=sent.headers, body=sent.body))
    return message


def definition_from(definition: Definition) -> DefinitionMessage:
    """The definition as callers see it; an empty one where nothing is known."""
    if not definition.id:
        return DefinitionMessage()
    return DefinitionMessage(request=RequestMessage.FromString(definition.request), job=definition.job)


def uuid_text(raw: bytes) -> str:
    """The usual spelling of 16 bytes."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _set_moment(message: Timestamp, us: int) -> None:
    message.seconds, rest = divmod(us, 1_000_000)
    message.nanos = rest * 1_000


def _set_span(message: Duration, us: int) -> None:
    message.seconds, rest = divmod(us, 1_000_000)
    message.nanos = rest * 1_000
