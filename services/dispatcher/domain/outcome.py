"""What an answer, or the lack of one, means: success, worth another attempt, or failed for good."""

import codecs
from collections.abc import Set
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus

from services.dispatcher.domain.breaker import Sign

UTF8 = codecs.getincrementaldecoder("utf-8")
RETRYABLE_CODES = frozenset({408, 425, 429})
SUCCESS_CODES = frozenset(range(200, 300))
NO_WAIT = timedelta(0)


class FailureKind(StrEnum):
    """Why a request got no answer."""

    NAME = "name"
    CONNECT = "connect"
    TLS = "tls"
    CERTIFICATE = "certificate"
    BROKEN = "broken"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"
    INVALID = "invalid"
    BREAKER_OPEN = "breaker_open"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


# A wrong certificate, a forbidden address and a request that cannot be built do not mend within a back-off.
PERMANENT_KINDS = frozenset({FailureKind.CERTIFICATE, FailureKind.BLOCKED, FailureKind.INVALID})
# Nothing of the request can have gone out.
UNSENT_KINDS = frozenset({
    FailureKind.NAME, FailureKind.CONNECT, FailureKind.TLS, FailureKind.CERTIFICATE, FailureKind.BLOCKED,
    FailureKind.INVALID, FailureKind.BREAKER_OPEN,
})  # fmt: skip
# The host did not do its part.
HOST_KINDS = frozenset({
    FailureKind.NAME, FailureKind.CONNECT, FailureKind.TLS, FailureKind.CERTIFICATE, FailureKind.BROKEN,
    FailureKind.TIMEOUT,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the endpoint answered. `body` is its beginning; the headers are those that matter here, else empty.

    `longest_bytes` is the bound that the body went beyond, 0 when it did not.
    """

    status_code: int
    body: bytes = b""
    is_truncated: bool = False
    longest_bytes: int = 0
    retry_after: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer, in a sentence for the job's owner. `wait` is the least before the next attempt."""

    kind: FailureKind
    error: str
    wait: timedelta = NO_WAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of an attempt. `retry_after` is the header as received, `failure` why there was no answer."""

    is_success: bool
    is_retryable: bool = False
    is_timeout: bool = False
    status_code: int = 0
    response: str = ""
    is_response_truncated: bool = False
    error: str = ""
    retry_after: str = ""
    failure: Failure | None = None

    @property
    def is_unsent(self) -> bool:
        """Whether it is certain that nothing of the request went out."""
        return self.failure is not None and self.failure.kind in UNSENT_KINDS

    @property
    def is_breaker_open(self) -> bool:
        """Whether it was not sent because a circuit breaker was open."""
        return self.failure is not None and self.failure.kind is FailureKind.BREAKER_OPEN

    @property
    def wait(self) -> timedelta:
        """The least before the next attempt."""
        return self.failure.wait if self.failure is not None else NO_WAIT


def judge(result: Answer | Failure, success_codes: Set[int]) -> Verdict:
    """The verdict on an attempt. `success_codes` that are empty mean 200 to 299."""
    if isinstance(result, Failure):
        return Verdict(
            is_success=False,
            is_retryable=result.kind not in PERMANENT_KINDS,
            is_timeout=result.kind is FailureKind.TIMEOUT,
            error=result.error,
            failure=result,
        )
    code = result.status_code
    is_success = code in (success_codes or SUCCESS_CODES) and not result.longest_bytes
    return Verdict(
        is_success=is_success,
        is_retryable=not is_success and is_retryable(code) and not result.longest_bytes,
        status_code=code,
        response=_text(result.body, is_truncated=result.is_truncated) if result.body else "",
        is_response_truncated=result.is_truncated,
        error="" if is_success else _describe(result),
        retry_after=result.retry_after,
    )


def is_retryable(status_code: int) -> bool:
    """Whether an endpoint that answers so may do better in a while: 5xx, 408, 425 and 429."""
    return status_code >= 500 or status_code in RETRYABLE_CODES


def sign_of(result: Answer | Failure, verdict: Verdict) -> Sign:
    """What an attempt says about its host."""
    if isinstance(result, Failure):
        return Sign.FAILURE if result.kind in HOST_KINDS else Sign.NONE
    if verdict.is_success or result.status_code < 400:
        return Sign.SUCCESS
    return Sign.FAILURE if result.status_code >= 500 or result.status_code == 429 else Sign.ANSWERED


def _text(body: bytes, *, is_truncated: bool) -> str:
    # Where the body was cut in the middle of a character, its first bytes are left out rather than marked as wrong.
    text = UTF8(errors="replace").decode(body, final=not is_truncated)
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _describe(answer: Answer) -> str:
    code = answer.status_code
    if answer.longest_bytes:
        return f"answered {_name(code)} with more than {answer.longest_bytes:,} bytes; let it answer with less"
    if 300 <= code < 400:
        where = f" to {answer.location}" if answer.location else ""
        return f"answered {_name(code)}{where}; redirects are not followed: give the final address as the URL"
    if code in SUCCESS_CODES:
        return f"answered {_name(code)}, which is not among the job's success codes"
    return f"answered {_name(code)}"


def _name(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
