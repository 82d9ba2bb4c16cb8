"""What the status of a gRPC call means (https://grpc.io/docs/guides/status-codes/)."""

import re
from collections.abc import Set
from dataclasses import replace
from enum import IntEnum

from services.dispatcher.domain.breaker import Sign
from services.dispatcher.domain.outcome import Verdict, judge_failure
from services.dispatcher.domain.results import Failure, FailureKind, Reply, Result


class Code(IntEnum):
    """Status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


RETRYABLE_CODES = frozenset({Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.ABORTED, Code.DEADLINE_EXCEEDED})
# The call went out, and nobody knows how far it came.
FAILURE_CODES = {FailureKind.TIMEOUT: Code.DEADLINE_EXCEEDED, FailureKind.BROKEN: Code.UNAVAILABLE}
# Those that stand for 5xx and 429 of HTTP (google/rpc/code.proto); that a method is missing says nothing of the host.
HOST_CODES = frozenset({
    Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS,
})  # fmt: skip
# gRPC has one code for what may pass, quotas and load, and for what will not: every implementation says it so.
TOO_LARGE = re.compile(r"larger than|exceeds maximum size", re.IGNORECASE)
_NAMES = {code.value: code.name for code in Code}


def judge(result: Result, retryable_codes: Set[int]) -> Verdict:
    """The verdict on an attempt.

    To gRPC, a timeout is DEADLINE_EXCEEDED, and a broken connection UNAVAILABLE: the codes decide on them, too.
    """
    if isinstance(result, Failure):
        verdict = judge_failure(result)
        is_refused = result.kind in FAILURE_CODES and FAILURE_CODES[result.kind] not in retryable_codes
        return replace(verdict, is_retryable=False) if is_refused else verdict
    if not isinstance(result, Reply):
        raise TypeError(f"a gRPC call was answered with {type(result).__name__}")
    is_success = result.code == Code.OK
    return Verdict(
        is_success=is_success,
        is_retryable=result.code in retryable_codes and not _is_too_large(result),
        status_code=result.code,
        response=result.body,
        is_response_truncated=result.is_truncated,
        error="" if is_success else _describe(result),
        sign=_sign(result),
    )


def _is_too_large(reply: Reply) -> bool:
    return reply.code == Code.RESOURCE_EXHAUSTED and TOO_LARGE.search(reply.details) is not None


def _sign(reply: Reply) -> Sign:
    if reply.code == Code.OK:
        return Sign.SUCCESS
    return Sign.FAILURE if reply.code in HOST_CODES and not _is_too_large(reply) else Sign.ANSWERED


def _describe(reply: Reply) -> str:
    name = _NAMES.get(reply.code, f"status {reply.code}")
    return f"answered {name}: {reply.details}" if reply.details else f"answered {name}"
