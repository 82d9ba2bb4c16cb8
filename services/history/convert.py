"""Executions between their proto and the ledger's records; resume tokens."""

import base64
import binascii
from collections.abc import Sequence
from typing import NamedTuple

from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.ledger_service_pb2 import ExecutionRecord
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from libs.faults import InvalidArgument
from services.history.domain.moments import LAST_US
from services.history.domain.records import FIRST_FINAL, Record, Status
from services.history.ports import Position

LAST_STATUS = int(Status.TIMED_OUT)
ID_BYTES = 16
MOST_RECORDS = 5_000
LARGEST_SEQ = 2**63 - 1


class Limits(NamedTuple):
    """What is kept of a record that a sender tells."""

    max_response_bytes: int
    now_us: int
    """Stands in for the end of a finished execution that does not say when it ended."""


def records_from(messages: Sequence[ExecutionRecord], limits: Limits) -> list[Record]:
    """The records of a batch. Raises InvalidArgument for one that cannot be kept, naming its field."""
    if len(messages) > MOST_RECORDS:
        raise InvalidArgument.of("records", f"are {len(messages)}; send at most {MOST_RECORDS} in a batch")
    return [_record(message, place, limits) for place, message in enumerate(messages)]


def execution_from(record: Record) -> Execution:
    """The execution as callers see it."""
    message = Execution.FromString(record.attempts)
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
    return message


def uuid_text(raw: bytes) -> str:
    """The usual spelling of 16 bytes."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def us_from(moment: Timestamp) -> int:
    """The microseconds of a timestamp; what is finer is cut off, and what is out of bounds is the nearest bound."""
    return max(0, min(moment.seconds * 1_000_000 + moment.nanos // 1_000, LAST_US))


def resume_token(position: Position) -> str:
    """A text for callers that stands for a position."""
    return base64.urlsafe_b64encode(f"{position.ledger_id}:{position.seq}".encode()).decode().rstrip("=")


def position_from(token: str) -> Position | None:
    """The position in a resume token, None in an empty one. Raises InvalidArgument for any other text."""
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
        ledger_id, seq = text.split(":")
        if not LARGEST_SEQ >= int(seq) >= 0:
            raise ValueError(seq)
        return Position(ledger_id=ledger_id, seq=int(seq))
    except (ValueError, binascii.Error) as error:
        raise InvalidArgument.of(
            "resume_token", "is not a token; pass the resume_token of the last message, or nothing to begin now"
        ) from error


def _record(message: ExecutionRecord, place: int, limits: Limits) -> Record:
    told = message.execution
    status = told.status
    if not 0 < status <= LAST_STATUS:
        raise _wrong(place, "status", "must be given")
    if not told.HasField("scheduled_time"):
        raise _wrong(place, "scheduled_time", "must be given")
    completed_us = None
    if status >= FIRST_FINAL:
        completed_us = _us(told.completed_at, place) if told.HasField("completed_at") else limits.now_us
    attempts = told.attempts
    response, is_cut = _cut(told.response, limits.max_response_bytes)
    return Record(
        _id(told.id, place),
        told.namespace,
        told.job_id,
        told.job_uid,
        told.job_name,
        told.job_version,
        told.cause,
        _us(told.scheduled_time, place),
        _us(told.started_at, place) if told.HasField("started_at") else None,
        completed_us,
        status,
        max(told.attempt_count, len(attempts)),
        told.status_code,
        response,
        1 if is_cut or told.is_response_truncated else 0,
        told.error,
        told.reason,
        Execution(attempts=attempts).SerializeToString() if attempts else b"",
        told.delivery,
        told.trace_id,
        message.shard,
        message.epoch,
    )


def _id(text: str, place: int) -> bytes:
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != ID_BYTES:
        raise _wrong(place, "id", "must be a UUID")
    return raw


def _us(moment: Timestamp, place: int) -> int:
    us = moment.seconds * 1_000_000 + moment.nanos // 1_000
    if not 0 <= us <= LAST_US:
        raise _wrong(place, "times", "must lie between the years 1970 and 9999")
    return us


def _cut(text: str, most_bytes: int) -> tuple[str, bool]:
    if len(text) * 4 <= most_bytes:
        return text, False
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text, False
    return encoded[:most_bytes].decode(errors="ignore"), True


def _wrong(place: int, field: str, description: str) -> InvalidArgument:
    return InvalidArgument.of(f"records[{place}].execution.{field}", description)


def _set_moment(message: Timestamp, us: int) -> None:
    message.seconds, rest = divmod(us, 1_000_000)
    message.nanos = rest * 1_000


def _set_span(message: Duration, us: int) -> None:
    message.seconds, rest = divmod(us, 1_000_000)
    message.nanos = rest * 1_000
