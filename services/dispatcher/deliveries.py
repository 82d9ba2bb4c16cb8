"""Everything that this dispatcher holds: executions taken from schedulers and not yet durably at their end."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from services.dispatcher import metrics
from services.dispatcher.domain.event import Event, EventKind
from services.dispatcher.domain.execution import Attempt, Delivery, Status, resume
from services.dispatcher.held import LIVE, OVER, Held, Stage
from services.dispatcher.lanes import Lanes
from services.dispatcher.recent import End, RecentlyFinished
from services.dispatcher.streams import Outbox


class Deliveries:
    """What is held, by execution id, and the queue of what is due to be sent."""

    def __init__(self, recent: RecentlyFinished, lanes: Lanes[Held]) -> None:
        self._held: dict[str, Held] = {}
        self._lanes = lanes
        self._recent = recent
        self._is_draining = False
        self.arrived = asyncio.Event()
        """Set whenever something was queued."""

    @property
    def held_count(self) -> int:
        """Executions held."""
        return len(self._held)

    @property
    def queued_count(self) -> int:
        """Executions that wait for their turn to be sent."""
        return len(self._lanes)

    def at(self, *stages: Stage) -> list[Held]:
        """Executions that are at one of these stages. Looks at every one that is held."""
        return [held for held in self._held.values() if held.stage in stages]

    def find(self, execution_id: str) -> Held | None:
        """An execution that is held."""
        return self._held.get(execution_id)

    def accept(self, delivery: Delivery, attempts: tuple[Attempt, ...], outbox: Outbox) -> Held | None:
        """Takes an execution, yet to be queued; None when there is nothing to do for it.

        One that is held already is not sent twice, and one that ended here is not sent again if that end counts.
        """
        identity = delivery.execution_id
        if (held := self._held.get(identity)) is not None:
            self._take_over(held, delivery, outbox)
        elif (end := self._recent.find(identity)) is not None and _counts_for(end, delivery):
            outbox.tell(_remembered(identity, end))
        elif self._is_draining:
            held = Held(delivery=delivery, progress=resume(attempts), listener=outbox, creditor=None)
            held.tell(EventKind.RETURNED)
        else:
            held = Held(delivery=delivery, progress=resume(attempts), listener=outbox, creditor=outbox)
            self._held[identity] = held
            return held
        outbox.owe(1)
        return None

    def adopt(self, execution_ids: Iterable[str], outbox: Outbox) -> None:
        """Answers which executions are held, and tells how those go on to this stream from now on."""
        for identity in execution_ids:
            if (held := self._held.get(identity)) is not None:
                held.listener = outbox
                held.is_adopted = True
                held.is_stale = False
                held.tell(EventKind.HELD)
                if held.is_recorded:
                    held.tell(EventKind.RECORDED)
            elif (end := self._recent.find(identity)) is not None:
                outbox.tell(_remembered(identity, end))
            else:
                outbox.tell(Event(execution_id=identity, kind=EventKind.UNKNOWN))

    def requeue(self, held: Held) -> None:
        """Puts an execution at the end of the queue of its endpoint, namespace and priority."""
        held.stage = Stage.QUEUED
        plan = held.delivery.plan
        self._lanes.push(plan.endpoint, plan.namespace, plan.priority, held)
        self.arrived.set()

    def unqueue(self, held: Held) -> None:
        """Takes an execution out of the queue, to which it does not come back."""
        plan = held.delivery.plan
        self._lanes.remove(plan.endpoint, plan.namespace, plan.priority, held)

    def take(self) -> Held | None:
        """The next execution to send, to be followed by `taken`; None when there is none that may go now."""
        while (held := self._lanes.pop()) is not None:
            if held.stage is Stage.QUEUED:
                held.stage = Stage.SENDING
                held.give_claim_back()
                return held
            self.taken(held)
        return None

    def taken(self, held: Held) -> None:
        """The attempt of an execution that was taken has ended: its endpoint has room for another one."""
        self._lanes.done(held.delivery.plan.endpoint)
        held.give_permit_back()

    def recorded(self, held: Held) -> None:
        """Its start is in the ledger."""
        held.is_recorded = True
        if held.stage in LIVE or held.stage in OVER:
            held.tell(EventKind.RECORDED)

    def finished(self, held: Held) -> None:
        """Its end is in the ledger."""
        metrics.FINISHED[held.progress.status].inc()
        self._recent.add(held.id, End(held.progress.status, held.delivery.delivery))
        held.tell(EventKind.FINISHED)
        self._let_go(held, Stage.ENDED)

    def accepted(self, held: Held) -> None:
        """That its target has accepted it is in the ledger: its scheduler sees to the rest."""
        self._recent.add(held.id, End(held.progress.status, held.delivery.delivery))
        held.tell(EventKind.ACCEPTED)
        self._let_go(held, Stage.ACCEPTED)

    def refused(self, held: Held, *, epoch: int, is_final: bool) -> bool:
        """The ledger took nothing of a record of it, since that epoch is over: somebody else owns its shard now.

        Nothing more is sent for it, unless the new owner has adopted it or handed it over again since, or the ledger
        has promised that nobody else begins it. Returns whether it is to be recorded once more, under the epoch that
        it has now.
        """
        if epoch != held.delivery.epoch:
            return True
        if held.stage is Stage.CLAIMING and held.is_adopted:
            # The new owner relies on us, but has to hand it over itself: only under its epoch can it be claimed.
            self.give_back(held)
            return False
        if not is_final and (held.is_adopted or held.is_claimed or held.stage not in LIVE):
            return False
        metrics.STALE.inc()
        held.tell(EventKind.STALE)
        if held.stage is Stage.SENDING:
            held.is_stale = True
        else:
            self.drop(held)
        return False

    def claimed_elsewhere(self, held: Held) -> None:
        """The ledger has a start of it by somebody else, or its end."""
        if held.stage is Stage.CLAIMING:
            metrics.CLAIM_REFUSED.inc()
            held.tell(EventKind.CLAIMED)
            self.drop(held)

    def drop(self, held: Held) -> None:
        """Forgets an execution that somebody else takes care of."""
        self._let_go(held, Stage.DROPPED)

    def give_back(self, held: Held) -> None:
        """Hands an execution back to its scheduler, unfinished."""
        metrics.RETURNED.inc()
        held.tell(EventKind.RETURNED)
        self._let_go(held, Stage.RETURNED)

    def stop_accepting(self) -> list[Held]:
        """Everything handed over from now on is given back at once. Returns what was queued and is not sent now."""
        self._is_draining = True
        return [held for held in self._lanes.take_all() if held.stage is Stage.QUEUED]

    def _take_over(self, held: Held, delivery: Delivery, outbox: Outbox) -> None:
        known = held.delivery
        if (delivery.epoch, delivery.delivery) < (known.epoch, known.delivery):
            return  # It was held up on the way, and so perhaps was the stream that it came on.
        held.listener = outbox
        # A new owner may not know how often it was handed out before, and the ledger goes by the highest number.
        held.delivery = replace(delivery, plan=known.plan, delivery=max(delivery.delivery, known.delivery))
        held.is_stale = False
        if held.is_recorded:
            held.tell(EventKind.RECORDED)

    def _let_go(self, held: Held, stage: Stage) -> None:
        is_sending = held.stage is Stage.SENDING or held.is_broken_off
        held.stage = stage
        held.give_credit_back()
        held.give_claim_back()
        if not is_sending:
            held.give_permit_back()
        if self._held.get(held.id) is held:
            del self._held[held.id]


def _counts_for(end: End, delivery: Delivery) -> bool:
    """Whether nothing is to be sent: what may be sent once was sent, whichever delivery it was."""
    return delivery.plan.is_at_most_once or end.counts_for(delivery.delivery)


def _remembered(execution_id: str, end: End) -> Event:
    """What is told again of an execution that is not held any more."""
    if end.status is Status.RUNNING:
        return Event(execution_id=execution_id, kind=EventKind.ACCEPTED, delivery=end.delivery)
    return Event(execution_id=execution_id, kind=EventKind.FINISHED, status=end.status, delivery=end.delivery)
