"""The errors that Chronos answers with, as one tree.

    Fault
    ├── InvalidArgument      400  a field is wrong: names it and says how to fix it
    ├── Unauthenticated      401  no key, or one that is not valid
    ├── Forbidden            403  a valid key that lacks the permission or the namespace
    │   └── Refused          403  a policy says no
    ├── NotFound             404
    ├── AlreadyExists        409  the id is taken
    ├── Stale                409  changed by somebody else in between (etag)
    ├── WrongState           400  not possible in the present state
    ├── LimitReached         429  a quota or a rate
    └── Unavailable          503  the only one that is worth repeating

Domain and use cases raise them; `libs/rpc/faults.py` turns them into `google.rpc.Status`. Anything else that is
raised is a bug: INTERNAL, masked, logged once with its stack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One field that is wrong. `field` is its path in the request, for example `webhook.url`."""

    field: str
    description: str


class Fault(Exception):
    """An error that a caller can understand.

    `message` is one sentence that says how to fix it. `reason` is a constant in UPPER_SNAKE_CASE for programs;
    `metadata` gives them details.
    """

    code: ClassVar[str] = "INTERNAL"
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, reason: str = "", metadata: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = metadata or {}


class InvalidArgument(Fault):
    """Some fields are wrong."""

    code = "INVALID_ARGUMENT"
    default_reason = "INVALID_ARGUMENT"

    def __init__(self, violations: Sequence[Violation], *, message: str = "") -> None:
        self.violations = tuple(violations)
        super().__init__(message or "; ".join(f"{v.field}: {v.description}" for v in self.violations))

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidArgument":
        """The fault of a single field."""
        return cls([Violation(field=field, description=description)])


class Unauthenticated(Fault):
    """The caller did not prove who it is."""

    code = "UNAUTHENTICATED"
    default_reason = "UNAUTHENTICATED"


class Forbidden(Fault):
    """The caller may not do that. Decided before anybody looks whether the thing exists."""

    code = "PERMISSION_DENIED"
    default_reason = "PERMISSION_DENIED"


class Refused(Forbidden):
    """A policy says no, whoever asks.

    `violations` are those of its rules that name a field; `decision` is the serialized chronos.policy.v1.Decision, cut
    to 2,000 bytes by whoever raises it.
    """

    default_reason = "POLICY_VIOLATION"

    def __init__(self, message: str, *, violations: Sequence[Violation] = (), decision: bytes = b"") -> None:
        super().__init__(message)
        self.violations = tuple(violations)
        self.decision = decision


class NotFound(Fault):
    """There is no such thing."""

    code = "NOT_FOUND"
    default_reason = "NOT_FOUND"


class AlreadyExists(Fault):
    """The id is taken."""

    code = "ALREADY_EXISTS"
    default_reason = "ALREADY_EXISTS"


class Stale(Fault):
    """The caller's etag is not that of the stored resource any more."""

    code = "ABORTED"
    default_reason = "STALE_ETAG"


class WrongState(Fault):
    """Not possible in the present state of the resource."""

    code = "FAILED_PRECONDITION"
    default_reason = "WRONG_STATE"


class LimitReached(Fault):
    """A quota or a rate is used up."""

    code = "RESOURCE_EXHAUSTED"
    default_reason = "LIMIT_REACHED"

    def __init__(self, message: str, *, retry_after: timedelta | None = None, reason: str = "") -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after


class Unavailable(Fault):
    """Something that is needed does not answer now. Worth repeating."""

    code = "UNAVAILABLE"
    default_reason = "UNAVAILABLE"


class Unheard(Unavailable):
    """The other side has certainly not heard of the call: it had no effect."""
