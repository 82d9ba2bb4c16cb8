"""What is known of the dispatchers, and of the runs that they have or may have."""

from dataclasses import dataclass, field

from services.scheduler.domain.occurrence import Run
from services.scheduler.ports.ledger import DispatcherLink, Reason


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run is to be stopped."""

    reason: str
    code: Reason


@dataclass(slots=True)
class Lane:
    """An open link: what may still be sent, and what was sent and has not ended."""

    link: DispatcherLink
    credit: int = 0
    is_draining: bool = False
    held: dict[str, Run] = field(default_factory=dict)
    asked: dict[str, Run] = field(default_factory=dict)
    """Of those, which the dispatcher was asked about again; whatever it answers takes them out."""


@dataclass(slots=True)
class Adoption:
    """A run of an earlier owner, until a dispatcher says that it holds it or all say that they do not.

    `is_recorded` for one that came out of the ledger. Of one whose link broke nobody knows whether it is there.
    """

    run: Run
    asked: set[str]
    is_recorded: bool = False
