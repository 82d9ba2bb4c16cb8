"""What clients and members of a simulated etcd say to each other."""

from collections.abc import Callable
from dataclasses import dataclass

from libs.faults import Unavailable


class NotAnsweredError(Unavailable):
    """No answer came: what was asked for may have happened, or may happen later."""

    default_reason = "ETCD_UNAVAILABLE"


class NotTriedError(NotAnsweredError):
    """The member refused: what was asked for certainly did not happen."""


class BehindError(Exception):
    """The member cannot answer yet."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first thing on a connection: a member that runs says it back."""


@dataclass(slots=True, eq=False)
class Request:
    """A step to be done by the cluster. `do` runs on the server's side, all of it at one moment.

    A local one is answered by the member alone, with or without a leader.
    """

    number: int
    do: Callable[[], object]
    is_write: bool = False
    is_local: bool = False
    held_since: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of the request with that number; a Fault is to be raised."""

    number: int
    outcome: object
