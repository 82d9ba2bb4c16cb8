"""Faults on the wire: `libs.faults` to `google.rpc.Status` with details, and back."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar

import grpc
from chronos.policy.v1 import decision_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from libs import faults

M = TypeVar("M", bound=Message)

DOMAIN = "chronos"
DETAILS_KEY = "grpc-status-details-bin"
# gRPC peers refuse trailers of more than 8 KiB. The message travels twice, percent-encoded and in the details.
LONGEST_MESSAGE_BYTES = 800
LONGEST_DESCRIPTION_BYTES = 300
LARGEST_DETAILS_BYTES = 3_000
DECISION_TYPE = f"type.googleapis.com/{decision_pb2.Decision.DESCRIPTOR.full_name}"

# What a server in gRPC's shared core says, while it drains, to a call that was on its way: no method has seen it. Who
# cancels a call of their own hears of it as asyncio's CancelledError.
CALLED_OFF = (grpc.StatusCode.CANCELLED, "CANCELLED")
NO_CONNECTION = "failed to connect to all addresses"
"""How the words of our own side begin when a call found no connection, together with UNAVAILABLE."""
RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)

BY_CODE: dict[grpc.StatusCode, type[faults.Fault]] = {
    grpc.StatusCode[kind.code]: kind
    for kind in (
        faults.Unauthenticated,
        faults.Forbidden,
        faults.NotFound,
        faults.AlreadyExists,
        faults.Stale,
        faults.WrongState,
    )
}


def status_of(fault: faults.Fault, request_id: str) -> status_pb2.Status:
    """The status that tells a caller about a fault, small enough for every gRPC peer."""
    status = status_pb2.Status(
        code=code_pb2.Code.Value(fault.code), message=_shorten(fault.message, LONGEST_MESSAGE_BYTES)
    )
    known = {key: _shorten(value, LONGEST_DESCRIPTION_BYTES) for key, value in fault.metadata.items()}
    _attach(
        status,
        error_details_pb2.ErrorInfo(reason=fault.reason, domain=DOMAIN, metadata={**known, "request_id": request_id}),
    )
    match fault:
        case faults.InvalidArgument():
            _attach(status, _bad_request(fault.violations))
        case faults.Refused():
            if fault.violations:
                _attach(status, _bad_request(fault.violations, LARGEST_DETAILS_BYTES - len(fault.decision)))
            status.details.append(Any(type_url=DECISION_TYPE, value=fault.decision))
        case faults.LimitReached():
            violation = error_details_pb2.QuotaFailure.Violation(
                subject=fault.reason, description=_shorten(fault.message, LONGEST_DESCRIPTION_BYTES)
            )
            _attach(status, error_details_pb2.QuotaFailure(violations=[violation]))
            if fault.retry_after is not None:
                _attach(status, _retry_info(fault.retry_after))
    return status


def internal_status(request_id: str) -> status_pb2.Status:
    """What a caller learns of a bug: nothing but how to ask about it."""
    return _plain_status(
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        f"something broke; tell the operator the request id {request_id}",
        request_id,
    )


def deadline_status(request_id: str, seconds: float) -> status_pb2.Status:
    """The status of a call that took longer than the server's own limit."""
    message = f"the call took longer than {seconds:g} s; look whether it took effect before you repeat it"
    return _plain_status(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", message, request_id)


def trailers_of(status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata that carries a status."""
    return ((DETAILS_KEY, status.SerializeToString()),)


def fault_from(error: grpc.aio.AioRpcError) -> faults.Fault:
    """The fault that another service answered with.

    Unavailable, when a deadline was missed; Unheard, when no method of the service has seen the call. A code that
    stands for no fault gives a plain Fault, which is INTERNAL.
    """
    status = _decode(error)
    message = (status.message if status else "") or error.details() or error.code().name
    info = error_details_pb2.ErrorInfo()
    if status is not None:
        _unpack(status, info)
    if status is None and _is_unheard(error.code(), message):
        return faults.Unheard(message)
    fault = _fault(error.code(), message, status)
    fault.reason = info.reason or fault.reason
    fault.metadata = dict(info.metadata)
    return fault


def known_fault(error: BaseException) -> faults.Fault | None:
    """The fault that an error stands for, None for a bug. A group of nothing but faults stands for its first."""
    match error:
        case faults.Fault():
            return error if error.code != faults.Fault.code else None
        case grpc.aio.AioRpcError() if error.code() in RETRYABLE:
            return faults.Unavailable("a service that is needed for this does not answer; try again")
        case BaseExceptionGroup():
            found = [known_fault(inner) for inner in error.exceptions]
            return found[0] if all(found) else None
        case _:
            return None


def _fault(code: grpc.StatusCode, message: str, status: status_pb2.Status | None) -> faults.Fault:
    status = status or status_pb2.Status()
    bad = _unpack(status, error_details_pb2.BadRequest())
    violations = [faults.Violation(field=v.field, description=v.description) for v in bad.field_violations]
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return faults.InvalidArgument(violations, message=message)
    decision = next((detail.value for detail in status.details if detail.type_url == DECISION_TYPE), None)
    if code is grpc.StatusCode.PERMISSION_DENIED and decision is not None:
        return faults.Refused(message, violations=violations, decision=decision)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        retry = _unpack(status, error_details_pb2.RetryInfo())
        after = retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
        return faults.LimitReached(message, retry_after=after)
    if code in RETRYABLE:
        return faults.Unavailable(message, reason=code.name)
    return BY_CODE.get(code, faults.Fault)(message)


def _is_unheard(code: grpc.StatusCode, words: str) -> bool:
    """Not for what a service has put into words itself: it may pass on the words of another that it has called."""
    return (code, words) == CALLED_OFF or (code is grpc.StatusCode.UNAVAILABLE and words.startswith(NO_CONNECTION))


def _decode(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _unpack(status: status_pb2.Status, into: M) -> M:
    for detail in status.details:
        if detail.Is(into.DESCRIPTOR):
            try:
                detail.Unpack(into)
            except DecodeError:
                into.Clear()
    return into


def _plain_status(code: grpc.StatusCode, reason: str, message: str, request_id: str) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message)
    _attach(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata={"request_id": request_id}))
    return status


def _bad_request(
    violations: Iterable[faults.Violation], most_bytes: int = LARGEST_DETAILS_BYTES
) -> error_details_pb2.BadRequest:
    details = error_details_pb2.BadRequest()
    for violation in violations:
        details.field_violations.add(
            field=_shorten(violation.field, LONGEST_DESCRIPTION_BYTES),
            description=_shorten(violation.description, LONGEST_DESCRIPTION_BYTES),
        )
        if details.ByteSize() > most_bytes:
            del details.field_violations[-1]
            break
    return details


def _retry_info(after: timedelta) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(after)
    return info


def _attach(status: status_pb2.Status, detail: Message) -> None:
    packed = Any()
    packed.Pack(detail)
    status.details.append(packed)


def _shorten(text: str, most_bytes: int) -> str:
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    return encoded[: most_bytes - 3].decode(errors="ignore") + "…"
