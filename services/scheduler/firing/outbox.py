"""Runs on their way: which dispatcher gets them, and what must be handed out again."""

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery

from libs.log import get_logger
from services.scheduler import metrics
from services.scheduler.domain.occurrence import Run
from services.scheduler.firing.owned import OwnedShards
from services.scheduler.ports import DispatcherLink

BATCH = 500
Kind = delivery.DeliveryEvent


@dataclass(slots=True)
class Lane:
    """An open link: what may still be sent, and what was sent and has not ended."""

    link: DispatcherLink
    credit: int = 0
    is_draining: bool = False
    held: dict[str, Run] = field(default_factory=dict)


@dataclass(slots=True)
class Adoption:
    """A run of an earlier owner, until a dispatcher says that it holds it or all say that they do not."""

    run: Run
    asked: set[str]


class Outbox:
    """Every run between firing and the end of its execution.

    A run goes to the less busy of two random dispatchers that have credit. When its link breaks, the dispatcher is
    asked again as soon as it can be reached. When it is gone, does not hold the run, or gives it back, the run is
    handed out again under the same execution id with the next delivery number.
    `on_recorded` is called once the ledger has a run, `on_orphan` for one that must be handed out again but whose
    job is gone (its definition is empty).
    """

    def __init__(
        self,
        owned: OwnedShards,
        on_recorded: Callable[[Run], None],
        on_orphan: Callable[[Run], None],
        *,
        limit: int,
    ) -> None:
        self._owned = owned
        self._on_recorded = on_recorded
        self._on_orphan = on_orphan
        self._limit = limit
        self._queue: deque[Run] = deque()
        self._lanes: dict[str, Lane] = {}
        self._limbo: dict[str, dict[str, Run]] = {}
        self._adoptions: dict[str, Adoption] = {}
        self._log = get_logger()

    @property
    def is_full(self) -> bool:
        """Whether so much waits for dispatchers that nothing more should fire."""
        return len(self._queue) >= self._limit

    @property
    def queued(self) -> int:
        """Runs that wait for a dispatcher with credit."""
        return len(self._queue)

    @property
    def outstanding(self) -> int:
        """Runs that dispatchers hold."""
        return sum(len(held) for held in self._all_held())

    def submit(self, runs: Iterable[Run]) -> None:
        """Takes runs to be delivered, in order."""
        self._queue.extend(runs)
        self._pump()

    def adopt(self, runs: Sequence[Run]) -> None:
        """Takes over runs that were handed out by an earlier owner: asks all dispatchers who holds them."""
        asked = list(self._lanes.values())
        for run in runs:
            self._adoptions[run.execution_id] = Adoption(run, {lane.link.instance for lane in asked})
        for lane in asked:
            lane.link.adopt([run.execution_id for run in runs])
        if not asked:
            self._redeliver([self._adoptions.pop(run.execution_id).run for run in runs])

    def awaits(self, execution_ids: Iterable[str]) -> bool:
        """Whether any of these is at a dispatcher."""
        return any(identity in held for identity in execution_ids for held in self._all_held())

    def forget(self, shard: int) -> None:
        """Drops everything of a shard that is not owned any more; its next owner takes over."""
        self._queue = deque(run for run in self._queue if run.shard != shard)
        for held in self._all_held():
            for identity in [identity for identity, run in held.items() if run.shard == shard]:
                del held[identity]
        for identity in [identity for identity, adoption in self._adoptions.items() if adoption.run.shard == shard]:
            del self._adoptions[identity]

    def link_opened(self, link: DispatcherLink) -> None:
        """A dispatcher is there, with no credit yet. If its link broke before, it is asked what it still holds."""
        self._lanes[link.instance] = Lane(link)
        for identity, run in self._limbo.pop(link.instance, {}).items():
            self._adoptions[identity] = Adoption(run, {link.instance})
        asked = [identity for identity, adoption in self._adoptions.items() if link.instance in adoption.asked]
        if asked:
            link.adopt(asked)

    def link_broken(self, link: DispatcherLink) -> None:
        """A stream is gone, and perhaps the dispatcher: what it held waits for the answer."""
        lane = self._lanes.pop(link.instance, None)
        if lane is not None and lane.held:
            self._log.warning("stream to dispatcher broke", dispatcher=link.instance, runs_in_doubt=len(lane.held))
            self._limbo[link.instance] = lane.held

    def dispatcher_gone(self, instance: str) -> None:
        """A dispatcher is dead or out of reach: what it held is handed out again."""
        held = self._limbo.pop(instance, {})
        if held:
            self._log.warning("dispatcher lost", dispatcher=instance, runs_to_hand_out_again=len(held))
        self._redeliver(list(held.values()))
        for identity in list(self._adoptions):
            self._not_held(identity, instance)

    def link_answered(self, link: DispatcherLink, response: delivery.DeliverResponse) -> None:
        """A dispatcher reports."""
        lane = self._lanes.get(link.instance)
        if lane is None:
            return
        lane.credit += response.credit
        lane.is_draining |= response.is_draining
        for event in response.events:
            self._handle(lane, event)
        self._pump()

    def _all_held(self) -> list[dict[str, Run]]:
        return [*(lane.held for lane in self._lanes.values()), *self._limbo.values()]

    def _handle(self, lane: Lane, event: delivery.DeliveryEvent) -> None:
        identity = event.execution_id
        match event.kind:
            case Kind.RECORDED:
                if (run := lane.held.get(identity)) is not None:
                    self._on_recorded(run)
            case Kind.FINISHED:
                adoption = self._adoptions.pop(identity, None)
                run = lane.held.pop(identity, None) or (adoption.run if adoption else None)
                if run is not None:
                    self._on_recorded(run)
            case Kind.RETURNED:
                if (run := lane.held.pop(identity, None)) is not None:
                    attempts = tuple(attempt.SerializeToString() for attempt in event.attempts)
                    self._redeliver([replace(run, attempts=attempts or run.attempts)])
            case Kind.STALE:
                lane.held.pop(identity, None)
            case Kind.HELD:
                if (adoption := self._adoptions.pop(identity, None)) is not None:
                    lane.held[identity] = adoption.run
                    self._on_recorded(adoption.run)
            case Kind.UNKNOWN:
                self._not_held(identity, lane.link.instance)

    def _not_held(self, identity: str, instance: str) -> None:
        adoption = self._adoptions.get(identity)
        if adoption is None:
            return
        adoption.asked.discard(instance)
        if not adoption.asked:
            del self._adoptions[identity]
            self._redeliver([adoption.run])

    def _redeliver(self, runs: Collection[Run]) -> None:
        again = [replace(run, delivery=run.delivery + 1) for run in runs if run.job.definition]
        for run in runs:
            if not run.job.definition:
                self._on_orphan(run)
        metrics.REDELIVERED.inc(len(again))
        self._queue.extendleft(reversed(again))
        self._pump()

    def _pump(self) -> None:
        while self._queue:
            lane = self._choose()
            if lane is None:
                return
            batch: list[Run] = []
            while self._queue and len(batch) < min(lane.credit, BATCH):
                run = self._queue.popleft()
                shard = self._owned.get(run.shard, run.epoch)
                if shard is not None and shard.is_open:
                    lane.held[run.execution_id] = run
                    batch.append(run)
            if batch:
                lane.credit -= len(batch)
                lane.link.send(batch)

    def _choose(self) -> Lane | None:
        """The less busy of two random lanes with credit (Mitzenmacher, The Power of Two Choices, 2001)."""
        ready = [lane for lane in self._lanes.values() if lane.credit > 0 and not lane.is_draining]
        if not ready:
            return None
        first, second = random.choice(ready), random.choice(ready)
        return first if len(first.held) <= len(second.held) else second
