"""What came of an attempt: success, worth another attempt, or failed for good."""

from dataclasses import dataclass
from datetime import timedelta

from services.dispatcher.domain.breaker import Sign
from services.dispatcher.domain.results import NO_WAIT, Failure, FailureKind, Receipt, Result

# What is wrong with the job, or with what the target thinks of us, does not mend within a back-off.
PERMANENT_KINDS = frozenset({
    FailureKind.CERTIFICATE, FailureKind.CREDENTIALS, FailureKind.REFUSED, FailureKind.BLOCKED, FailureKind.INVALID,
})  # fmt: skip
# Nothing of the request can have had an effect.
UNSENT_KINDS = frozenset({
    FailureKind.NAME, FailureKind.CONNECT, FailureKind.TLS, FailureKind.CERTIFICATE, FailureKind.CREDENTIALS,
    FailureKind.REFUSED, FailureKind.UNREADY, FailureKind.BLOCKED, FailureKind.INVALID, FailureKind.BREAKER_OPEN,
})  # fmt: skip
# The host did not do its part.
HOST_KINDS = frozenset({
    FailureKind.NAME, FailureKind.CONNECT, FailureKind.TLS, FailureKind.CERTIFICATE, FailureKind.BROKEN,
    FailureKind.TIMEOUT,
})  # fmt: skip
# It is there, and says no.
ANSWERED_KINDS = frozenset({FailureKind.CREDENTIALS, FailureKind.REFUSED, FailureKind.UNREADY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of an attempt. `retry_after` is the header as received, `failure` why there was no answer.

    `sign` is what it says about the host.
    """

    is_success: bool
    is_retryable: bool = False
    is_timeout: bool = False
    status_code: int = 0
    response: str = ""
    is_response_truncated: bool = False
    error: str = ""
    retry_after: str = ""
    failure: Failure | None = None
    sign: Sign = Sign.NONE

    @property
    def is_unsent(self) -> bool:
        """Whether it is certain that nothing of the request had an effect."""
        return self.failure is not None and self.failure.kind in UNSENT_KINDS

    @property
    def is_breaker_open(self) -> bool:
        """Whether it was not sent because a circuit breaker was open."""
        return self.failure is not None and self.failure.kind is FailureKind.BREAKER_OPEN

    @property
    def wait(self) -> timedelta:
        """The least before the next attempt."""
        return self.failure.wait if self.failure is not None else NO_WAIT


def judge_failure(failure: Failure) -> Verdict:
    """The verdict on an attempt that got no answer."""
    sign = Sign.FAILURE if failure.kind in HOST_KINDS else Sign.NONE
    return Verdict(
        is_success=False,
        is_retryable=failure.kind not in PERMANENT_KINDS,
        is_timeout=failure.kind is FailureKind.TIMEOUT,
        error=failure.error,
        failure=failure,
        sign=Sign.ANSWERED if failure.kind in ANSWERED_KINDS else sign,
    )


def judge_receipt(receipt: Receipt) -> Verdict:
    """The verdict on a message that a broker has taken."""
    return Verdict(
        is_success=True,
        response=receipt.response,
        is_response_truncated=receipt.is_truncated,
        sign=Sign.SUCCESS,
    )


def judge_message(result: Result) -> Verdict:
    """The verdict on a message, which is taken or is not. Raises TypeError for what no broker answers."""
    if isinstance(result, Failure):
        return judge_failure(result)
    if not isinstance(result, Receipt):
        raise TypeError(f"a message was answered with {type(result).__name__}")
    return judge_receipt(result)
