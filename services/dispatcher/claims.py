"""Claims: before an AT_MOST_ONCE execution is sent for the first time, the ledger promises that nobody else will."""

from collections.abc import Callable
from functools import partial

from services.dispatcher.deliveries import Deliveries
from services.dispatcher.domain.event import EventKind
from services.dispatcher.held import Held, Stage
from services.dispatcher.lanes import Lanes


class Claims:
    """The way to the queue. Waiting for the ledger takes nobody's turn to be sent.

    `gate` bounds how many of an endpoint are claimed and not yet begun, so that the loss of a dispatcher takes few with
    it. `record` puts the claim on its way. `cancel` ends one that was cancelled meanwhile: only when the promise is
    given is it ours to end.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        gate: Lanes[Held],
        *,
        record: Callable[[Held], None],
        cancel: Callable[[Held], None],
    ) -> None:
        self._deliveries = deliveries
        self._gate = gate
        self._record = record
        self._cancel = cancel

    def __len__(self) -> int:
        """Executions whose claim waits for others of their endpoint."""
        return len(self._gate)

    def enqueue(self, held: Held) -> None:
        """Lets an execution be sent when its turn comes, with a claim where it needs one."""
        if not held.needs_claim:
            self._deliveries.requeue(held)
            return
        held.stage = Stage.UNCLAIMED
        plan = held.delivery.plan
        self._gate.push(plan.endpoint, plan.namespace, plan.priority, held)
        self._open_gate()

    def claim_at_once(self, held: Held) -> None:
        """Asks the ledger for one that waits to be claimed, before all others: there will be nothing to send."""
        plan = held.delivery.plan
        self._gate.remove(plan.endpoint, plan.namespace, plan.priority, held)
        self._claim(held)

    def granted(self, held: Held) -> None:
        """The ledger has promised."""
        if held.stage is not Stage.CLAIMING:
            return
        held.is_claimed = held.is_recorded = True
        held.tell(EventKind.RECORDED)
        if held.cancellation is not None:
            self._cancel(held)
        else:
            self._deliveries.requeue(held)

    def refused(self, held: Held) -> None:
        """Somebody else has begun it, or it has ended."""
        self._deliveries.claimed_elsewhere(held)

    def take_all(self) -> list[Held]:
        """Everything that was not claimed so far; nothing waits afterwards."""
        return [held for held in self._gate.take_all() if held.stage is Stage.UNCLAIMED]

    def _open_gate(self) -> None:
        while (held := self._gate.pop()) is not None:
            endpoint = held.delivery.plan.endpoint
            if held.stage is Stage.UNCLAIMED:
                held.free_claim = partial(self._free, endpoint)
                self._claim(held)
            else:
                self._gate.done(endpoint)

    def _claim(self, held: Held) -> None:
        held.stage = Stage.CLAIMING
        self._record(held)

    def _free(self, endpoint: str) -> None:
        self._gate.done(endpoint)
        self._open_gate()
