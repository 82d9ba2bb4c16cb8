"""The ledger's records out of what senders tell. Tens of thousands a second come through here."""

from collections.abc import Sequence
from typing import NamedTuple

from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.ledger_service_pb2 import ExecutionRecord
from google.protobuf.timestamp_pb2 import Timestamp

from libs.faults import InvalidArgument
from services.history.domain.moments import LAST_US
from services.history.domain.records import FIRST_FINAL, Batch, Definition, Record, Status
from services.history.domain.transitions import KNOWN_ENDS

LAST_STATUS = int(Status.LOST)
ID_BYTES = 16
MOST_RECORDS = 5_000
SHORT_VARINTS = tuple(bytes((number,)) for number in range(256))
DELIMITED = 2
"""Wire type of a message inside a message (https://protobuf.dev/programming-guides/encoding)."""


class Limits(NamedTuple):
    """What is kept of a record that a sender tells."""

    max_response_bytes: int
    now_us: int
    """Stands in for the end of a finished execution that does not say when it ended."""


def batch_from(messages: Sequence[ExecutionRecord], limits: Limits) -> Batch:
    """The records of a batch. Raises InvalidArgument for one that cannot be kept, naming its field."""
    if len(messages) > MOST_RECORDS:
        raise InvalidArgument.of("records", f"are {len(messages)}; send at most {MOST_RECORDS} in a batch")
    records: list[Record] = []
    claims: list[int] = []
    definitions: list[Definition] = []
    for place, message in enumerate(messages):
        records.append(_record(message, place, limits))
        if message.is_claim:
            _ensure_claim(message, place)
            claims.append(place)
        if message.definition_id and message.HasField("definition"):
            definitions.append(_definition(message, place))
    return Batch(records, frozenset(claims), definitions)


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
        b"".join([_framed(attempt.SerializeToString()) for attempt in attempts]),
        told.delivery,
        told.trace_id,
        message.shard,
        message.epoch,
        message.definition_id,
        told.dispatcher,
        told.reason_code,
        message.claimant,
        _us(told.skipped_until, place) if status == Execution.SKIPPED and told.HasField("skipped_until") else None,
        _details(told),
        1 if told.is_settled and Status(status) in KNOWN_ENDS else 0,
    )


def _framed(attempt: bytes) -> bytes:
    """An encoded attempt as a field of an encoded Execution: to make one of copies would take three times as long."""
    return ATTEMPTS_TAG + _varint(len(attempt)) + attempt


def _varint(number: int) -> bytes:
    if number < 128:
        return SHORT_VARINTS[number]
    return SHORT_VARINTS[number & 127 | 128] + _varint(number >> 7)


def _details(told: Execution) -> bytes:
    has_deadline = told.HasField("complete_by")
    if not (told.actor or told.replay_of or told.skipped_count or told.parent_execution_ids or has_deadline):
        return b""
    return Execution(
        skipped_count=told.skipped_count,
        replay_of=told.replay_of,
        parent_execution_ids=told.parent_execution_ids,
        actor=told.actor,
        complete_by=told.complete_by if has_deadline else None,
    ).SerializeToString()


def _ensure_claim(message: ExecutionRecord, place: int) -> None:
    if not message.claimant:
        raise InvalidArgument.of(f"records[{place}].claimant", "must be given with a claim: the name of who delivers")
    if message.execution.status != Execution.RUNNING:
        raise _wrong(place, "status", "must be RUNNING in a claim")


def _definition(message: ExecutionRecord, place: int) -> Definition:
    if len(message.definition_id) != ID_BYTES:
        raise InvalidArgument.of(
            f"records[{place}].definition_id", f"has {len(message.definition_id)} bytes; a definition has {ID_BYTES}"
        )
    told = message.definition
    return Definition(message.definition_id, told.request.SerializeToString(), told.job)


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


ATTEMPTS_TAG = _varint(Execution.DESCRIPTOR.fields_by_name["attempts"].number << 3 | DELIMITED)
