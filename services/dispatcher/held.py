"""An execution that is held here."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from services.dispatcher.domain.breaker import Pass
from services.dispatcher.domain.event import Event, EventKind
from services.dispatcher.domain.execution import Delivery, Ending, Progress
from services.dispatcher.streams import Outbox


class Stage(StrEnum):
    """Where a held execution is. UNCLAIMED and CLAIMING are for AT_MOST_ONCE, THROTTLED for targets with limits."""

    THROTTLED = "throttled"
    UNCLAIMED = "unclaimed"
    CLAIMING = "claiming"
    QUEUED = "queued"
    SENDING = "sending"
    WAITING = "waiting"
    ENDED = "ended"
    ACCEPTED = "accepted"
    RETURNED = "returned"
    DROPPED = "dropped"


OVER = frozenset({Stage.ENDED, Stage.ACCEPTED})
"""Nothing more is to be done for it here but to record it."""
LIVE = frozenset({Stage.THROTTLED, Stage.UNCLAIMED, Stage.CLAIMING, Stage.QUEUED, Stage.SENDING, Stage.WAITING})


@dataclass(slots=True, eq=False, kw_only=True)
class Held:
    """An execution that is held here. The only thing in the dispatcher that changes in place.

    `listener` hears what becomes of it; `creditor` is owed the credit that it used, until its first attempt ended.
    `is_claimed`: the ledger has promised that nobody else begins it. `cancellation` waits for that promise.
    `passing` is how the circuit breaker let its request out; nobody waits for the answer of one that `is_broken_off`.
    `free_claim` lets the next claim of the endpoint go, `free_permit` the next attempt that shares its limits.
    """

    delivery: Delivery
    progress: Progress
    listener: Outbox
    creditor: Outbox | None
    stage: Stage = Stage.QUEUED
    is_recorded: bool = False
    is_adopted: bool = False
    is_stale: bool = False
    is_claimed: bool = False
    is_broken_off: bool = False
    cancellation: Ending | None = None
    passing: Pass = Pass.PLAIN
    free_claim: Callable[[], None] | None = None
    free_permit: Callable[[], None] | None = None

    @property
    def id(self) -> str:
        """The execution's id."""
        return self.delivery.execution_id

    @property
    def needs_claim(self) -> bool:
        """Whether the ledger must be asked before anything is sent."""
        return self.delivery.plan.is_at_most_once and not self.is_claimed

    def tell(self, kind: EventKind) -> None:
        """Lets the listener know."""
        self.listener.tell(
            Event(
                execution_id=self.id,
                kind=kind,
                status=self.progress.status if kind is EventKind.FINISHED else None,
                attempts=self.progress.attempts if kind is EventKind.RETURNED else (),
                epoch=self.delivery.epoch,
                delivery=self.delivery.delivery,
            )
        )

    def give_credit_back(self) -> None:
        """Pays the credit back, once."""
        if self.creditor is not None:
            self.creditor.owe(1)
            self.creditor = None

    def give_claim_back(self) -> None:
        """Lets the next claim go, once."""
        if self.free_claim is not None:
            free, self.free_claim = self.free_claim, None
            free()

    def give_permit_back(self) -> None:
        """Lets the next attempt that shares its limits go, once."""
        if self.free_permit is not None:
            free, self.free_permit = self.free_permit, None
            free()
