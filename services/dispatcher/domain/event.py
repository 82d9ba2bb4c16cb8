"""What a scheduler is told about its executions."""

from dataclasses import dataclass
from enum import StrEnum

from services.dispatcher.domain.execution import Attempt, Status


class EventKind(StrEnum):
    """What became of an execution."""

    RECORDED = "recorded"
    FINISHED = "finished"
    RETURNED = "returned"
    STALE = "stale"
    HELD = "held"
    UNKNOWN = "unknown"
    CLAIMED = "claimed"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`status` is given with FINISHED, `attempts` with RETURNED.

    `epoch` and `delivery` say which delivery is meant, as far as that is known: a later one may be on its way already.
    """

    execution_id: str
    kind: EventKind
    status: Status | None = None
    attempts: tuple[Attempt, ...] = ()
    epoch: int = 0
    delivery: int = 0
