"""Stops executions on request."""

from services.dispatcher.claims import Claims
from services.dispatcher.deliveries import Deliveries
from services.dispatcher.domain.execution import Ending, Reason, Status
from services.dispatcher.endings import Endings
from services.dispatcher.held import LIVE, Held, Stage

CANCELLED = Ending(reason="cancelled", code=Reason.NONE)


class Cancelling:
    """Cancels what is held here, wherever it is; what has ended already stays as it ended."""

    def __init__(self, deliveries: Deliveries, claims: Claims, endings: Endings) -> None:
        self._deliveries = deliveries
        self._claims = claims
        self._endings = endings

    def cancel(self, execution_id: str, ending: Ending) -> None:
        """Stops an execution; its end is recorded and told as every end is. An unknown one is passed over."""
        held = self._deliveries.find(execution_id)
        if held is None or held.stage not in LIVE:
            return
        if held.stage is Stage.UNCLAIMED or (held.stage is Stage.THROTTLED and held.needs_claim):
            held.cancellation = ending
            self._claims.claim_at_once(held)
        elif held.stage is Stage.CLAIMING:
            held.cancellation = ending
        else:
            self._deliveries.unqueue(held)
            self._endings.end(held, Status.CANCELLED, ending)

    def cancel_claimed(self, held: Held) -> None:
        """Stops one whose cancellation waited for its claim."""
        self._endings.end(held, Status.CANCELLED, held.cancellation or CANCELLED)
