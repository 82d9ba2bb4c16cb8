"""What came back from a target."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

NO_WAIT = timedelta(0)


class FailureKind(StrEnum):
    """Why there is no answer, or no acknowledgement."""

    NAME = "name"
    CONNECT = "connect"
    TLS = "tls"
    CERTIFICATE = "certificate"
    CREDENTIALS = "credentials"
    """The target refused who we say we are, before it took anything."""
    REFUSED = "refused"
    """The target refused what was sent, and would again: no such topic, exchange or method, or too large."""
    UNREADY = "unready"
    """The target did not take what was sent, and may later: no leader, no replica, no queue, no responder."""
    BROKEN = "broken"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"
    INVALID = "invalid"
    BREAKER_OPEN = "breaker_open"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an HTTP endpoint answered. `body` is its beginning; the headers are those that matter here, else empty.

    `longest_bytes` is the bound that the body went beyond, 0 when it did not.
    """

    status_code: int
    body: bytes = b""
    is_truncated: bool = False
    longest_bytes: int = 0
    retry_after: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a gRPC method answered: its status (0 is OK), and the message as JSON, or in Base64 when it was raw."""

    code: int
    details: str = ""
    body: str = ""
    is_truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A broker has taken the message. `response` says what it told about it, for example partition and offset."""

    response: str = ""
    is_truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer, in a sentence for the job's owner. `wait` is the least before the next attempt."""

    kind: FailureKind
    error: str
    wait: timedelta = NO_WAIT


Result = Answer | Reply | Receipt | Failure
