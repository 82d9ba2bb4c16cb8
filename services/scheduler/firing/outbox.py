"""Runs on their way: which dispatcher gets them, and what must be handed out again."""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery

from libs.etcd.rendezvous import owner_of
from libs.log import get_logger
from services.scheduler import metrics
from services.scheduler.domain.occurrence import Run
from services.scheduler.firing.lanes import Adoption, Lane, Stop
from services.scheduler.firing.news import ANSWERS, is_outdated, is_overtaken
from services.scheduler.firing.outgoing import Outgoing
from services.scheduler.firing.owned import OwnedShards
from services.scheduler.ports.ledger import DispatcherLink, Reason, Status

BATCH = 500
Kind = delivery.DeliveryEvent


class Listener(Protocol):
    """Who wants to know what becomes of runs."""

    def recorded(self, run: Run) -> None:
        """The ledger has the run; may be told more than once."""

    def ended(self, run: Run, status: Status) -> None:
        """The ledger has the run's end."""

    def accepted(self, run: Run) -> None:
        """The ledger has that its target has accepted it; no dispatcher has it any more."""

    def orphaned(self, run: Run) -> None:
        """It must be handed out again, but its job is gone (its definition is empty)."""

    def lost(self, run: Run) -> None:
        """At most once: it was begun, and nobody knows how it ended."""

    def cancelled(self, run: Run, reason: str, code: Reason) -> None:
        """It was to be stopped, and no dispatcher has it."""


class Outbox:
    """Every run between firing and the end of its execution.

    A run goes to the less busy of two random dispatchers that have credit. When its link breaks, the dispatcher is
    asked again as soon as it can be reached. When it is gone, does not hold the run, or gives it back, the run is
    handed out again under the same execution id with the next delivery number; an at-most-once run only if it was
    never begun. Runs that share limits of their target go to one dispatcher, on which all schedulers agree.
    """

    def __init__(self, owned: OwnedShards, listener: Listener, *, limit: int) -> None:
        self._owned = owned
        self._listener = listener
        self._limit = limit
        self._queue = Outgoing()
        self._begun: set[str] = set()
        self._adopted: set[str] = set()
        self._stops: dict[str, Stop] = {}
        self._lanes: dict[str, Lane] = {}
        self._limbo: dict[str, dict[str, Run]] = {}
        self._adoptions: dict[str, Adoption] = {}
        self._sent = 0
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

    @property
    def sent(self) -> int:
        """Runs that were handed to dispatchers so far."""
        return self._sent

    @property
    def linked(self) -> frozenset[str]:
        """The dispatchers that can be reached now."""
        return frozenset(self._lanes)

    def queued_ids(self) -> frozenset[str]:
        """The executions that wait for a dispatcher. Looks at every one."""
        return frozenset(run.execution_id for run in self._queue)

    def held(self) -> dict[str, list[Run]]:
        """What each dispatcher that can be reached holds."""
        return {instance: list(lane.held.values()) for instance, lane in self._lanes.items()}

    def in_doubt(self) -> list[tuple[Run, tuple[str, ...]]]:
        """Runs of which nobody has said yet whether they are still there, and the dispatchers that are to say it."""
        limbo = [(run, (instance,)) for instance, held in self._limbo.items() for run in held.values()]
        return limbo + [(adoption.run, tuple(sorted(adoption.asked))) for adoption in self._adoptions.values()]

    def holder_of(self, execution_id: str) -> str:
        """The dispatcher that holds an execution; empty when none does that can be reached."""
        return next((instance for instance, lane in self._lanes.items() if execution_id in lane.held), "")

    def is_handed_out(self, execution_id: str) -> bool:
        """Whether a dispatcher has an execution, or may have it."""
        return self.find_handed_out(execution_id) is not None

    def submit(self, runs: Iterable[Run]) -> None:
        """Takes runs to be delivered, in order."""
        for run in runs:
            self._queue.push(run)
        self._pump()

    def adopt(self, runs: Sequence[Run]) -> None:
        """Takes over runs that were handed out by an earlier owner: asks all dispatchers who holds them."""
        asked = list(self._lanes.values())
        for run in runs:
            self._begun.add(run.execution_id)
            self._adoptions[run.execution_id] = Adoption(run, {lane.link.instance for lane in asked}, is_recorded=True)
        for lane in asked:
            lane.link.adopt([run.execution_id for run in runs])
        if not asked:
            self._redeliver([self._adoptions.pop(run.execution_id).run for run in runs])

    def cancel(self, execution_id: str, *, reason: str, code: Reason) -> bool:
        """Stops a run, wherever it is; False when it is unknown here."""
        stop = Stop(reason, code)
        for lane in self._lanes.values():
            if execution_id in lane.held:
                self._stops[execution_id] = stop
                lane.link.cancel(execution_id, reason, code)
                return True
        if execution_id in self._adoptions or any(execution_id in held for held in self._limbo.values()):
            self._stops[execution_id] = stop
            return True
        waiting = self._queue.take_if(lambda run: run.execution_id == execution_id)
        for run in waiting:
            self._listener.cancelled(run, reason, code)
        return bool(waiting)

    def ask_again(self, execution_ids: Iterable[str]) -> int:
        """Asks whoever should hold these runs whether it does; what it does not hold is handed out again.

        Gives how many were asked about. To be used for a run that has not ended for so long that news may be lost.
        """
        asked = 0
        identities = list(execution_ids)
        for instance, lane in self._lanes.items():
            held = {identity: lane.held[identity] for identity in identities if identity in lane.held}
            adopted = [identity for identity in identities if self._is_awaited_of(identity, instance)]
            lane.asked |= held
            if held or adopted:
                lane.link.adopt([*held, *adopted])
                asked += len(held) + len(adopted)
        return asked

    def conclude(self, execution_id: str, status: Status) -> bool:
        """Takes a run's end from the ledger, of which no dispatcher has told; False when no dispatcher may have it."""
        adoption = self._adoptions.pop(execution_id, None)
        run = adoption.run if adoption is not None else None
        for held in self._all_held():
            run = held.pop(execution_id, None) or run
        if run is not None:
            self._finish(run, status)
        return run is not None

    def find_handed_out(self, execution_id: str) -> Run | None:
        """A run that a dispatcher has, or may have."""
        if (adoption := self._adoptions.get(execution_id)) is not None:
            return adoption.run
        return next((held[execution_id] for held in self._all_held() if execution_id in held), None)

    def cut_short(self, execution_id: str, status: Status, *, reason: str, code: Reason) -> None:
        """Takes a run's end from the ledger, of which no dispatcher has told: whoever has it stops."""
        for lane in self._lanes.values():
            if execution_id in lane.held:
                lane.link.cancel(execution_id, reason, code)
        for run in self._queue.take_if(lambda run: run.execution_id == execution_id):
            self._finish(run, status)
        self.conclude(execution_id, status)

    def awaits(self, execution_ids: Iterable[str]) -> bool:
        """Whether any of these is at a dispatcher."""
        return any(identity in held for identity in execution_ids for held in self._all_held())

    def forget(self, shard: int) -> None:
        """Drops everything of a shard that is not owned any more; its next owner takes over."""
        self._queue.take_if(lambda run: run.shard == shard)
        for held in self._all_held():
            for identity in [identity for identity, run in held.items() if run.shard == shard]:
                del held[identity]
                self._forget_run(identity)
        for identity in [identity for identity, adoption in self._adoptions.items() if adoption.run.shard == shard]:
            del self._adoptions[identity]
            self._forget_run(identity)

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

    def _is_awaited_of(self, identity: str, instance: str) -> bool:
        adoption = self._adoptions.get(identity)
        return adoption is not None and instance in adoption.asked

    def _handle(self, lane: Lane, event: delivery.DeliveryEvent) -> None:
        identity = event.execution_id
        if is_outdated(event, lane.held.get(identity), is_adopted=identity in self._adopted):
            return
        asked = lane.asked.pop(identity, None) if lane.asked and event.kind in ANSWERS else None
        if is_overtaken(event, self.find_handed_out):
            self._not_ended(lane, identity, asked)
            return
        match event.kind:
            case Kind.RECORDED:
                if (run := lane.held.get(identity)) is not None:
                    self._recorded(run)
            case Kind.FINISHED | Kind.ACCEPTED:
                adoption = self._adoptions.pop(identity, None)
                run = lane.held.pop(identity, None) or (adoption.run if adoption else None)
                if run is not None and event.kind == Kind.FINISHED:
                    self._finish(run, event.status)
                elif run is not None:
                    self._accept(run)
            case Kind.RETURNED:
                if (run := lane.held.pop(identity, None)) is not None:
                    self._begun.discard(identity)  # what was begun and may not be repeated is never given back
                    attempts = tuple(attempt.SerializeToString() for attempt in event.attempts)
                    self._redeliver([replace(run, attempts=attempts or run.attempts)])
            case Kind.STALE:
                if lane.held.pop(identity, None) is not None:
                    self._forget_run(identity)
            case Kind.HELD:
                if (adoption := self._adoptions.pop(identity, None)) is not None:
                    lane.held[identity] = adoption.run
                    self._adopted.add(identity)
                    if adoption.is_recorded:
                        self._recorded(adoption.run)
                    if (stop := self._stops.get(identity)) is not None:
                        lane.link.cancel(identity, stop.reason, stop.code)
            case Kind.UNKNOWN if asked is not None:
                if lane.held.get(identity) is asked:  # else it was handed out anew since we asked
                    del lane.held[identity]
                    self._redeliver([asked])
            case Kind.UNKNOWN:
                self._not_held(identity, lane.link.instance)
            case Kind.CLAIMED:
                if (run := lane.held.pop(identity, None)) is not None:
                    self._lose(run)

    def _not_ended(self, lane: Lane, identity: str, asked: Run | None) -> None:
        """A dispatcher is done with a run, and the ledger does not take that for its end."""
        run = lane.held.get(identity)
        if run is not None and (run is asked or identity in self._adopted):
            del lane.held[identity]
            self._redeliver([run])
        else:  # when it was sent there again, that is still to come
            self._not_held(identity, lane.link.instance)

    def _recorded(self, run: Run) -> None:
        if run.job.is_at_most_once:
            self._begun.add(run.execution_id)
        self._listener.recorded(run)

    def _finish(self, run: Run, status: Status) -> None:
        self._forget_run(run.execution_id)
        self._listener.recorded(run)
        self._listener.ended(run, status)

    def _accept(self, run: Run) -> None:
        self._forget_run(run.execution_id)
        self._listener.recorded(run)
        self._listener.accepted(run)

    def _lose(self, run: Run) -> None:
        self._forget_run(run.execution_id)
        self._listener.lost(run)

    def _forget_run(self, execution_id: str) -> None:
        self._begun.discard(execution_id)
        self._adopted.discard(execution_id)
        self._stops.pop(execution_id, None)

    def _not_held(self, identity: str, instance: str) -> None:
        adoption = self._adoptions.get(identity)
        if adoption is None:
            return
        adoption.asked.discard(instance)
        if not adoption.asked:
            del self._adoptions[identity]
            self._redeliver([adoption.run])

    def _redeliver(self, runs: Collection[Run]) -> None:
        again = [replace(run, delivery=run.delivery + 1) for run in runs if self._may_go_again(run)]
        metrics.REDELIVERED.inc(len(again))
        for run in reversed(again):
            self._queue.push_front(run)
        self._pump()

    def _may_go_again(self, run: Run) -> bool:
        """Whether a run that no dispatcher has any more is handed out again; tells the listener when it is not."""
        stop = self._stops.get(run.execution_id)
        was_begun = run.execution_id in self._begun
        self._forget_run(run.execution_id)
        if stop is not None:
            self._listener.cancelled(run, stop.reason, stop.code)
        elif not run.job.definition:
            self._listener.orphaned(run)
        elif run.job.is_at_most_once and was_begun:
            self._listener.lost(run)
        else:
            return True
        return False

    def _pump(self) -> None:
        for key in self._queue.limit_keys:
            keeper = self._keeper_of(key)
            while keeper is not None and keeper.credit and self._send(keeper, key):
                pass
        while self._queue.has_free and (lane := self._choose()) is not None:
            self._send(lane)

    def _send(self, lane: Lane, limit_key: str = "") -> bool:
        """Sends what a lane has credit for; False when nothing waits."""
        batch: list[Run] = []
        run = None
        while len(batch) < min(lane.credit, BATCH) and (run := self._queue.pop(limit_key)) is not None:
            shard = self._owned.find_trusted(run.shard)
            if shard is not None and shard.epoch == run.epoch:
                lane.held[run.execution_id] = run
                batch.append(run)
        if batch:
            lane.credit -= len(batch)
            self._sent += len(batch)
            lane.link.send(batch)
        return run is not None

    def _keeper_of(self, limit_key: str) -> Lane | None:
        """The lane of the dispatcher that keeps these limits."""
        keeper = owner_of(limit_key, [name for name, lane in self._lanes.items() if not lane.is_draining])
        return self._lanes[keeper] if keeper is not None else None

    def _choose(self) -> Lane | None:
        """The less busy of two random lanes with credit (Mitzenmacher, The Power of Two Choices, 2001)."""
        ready = [lane for lane in self._lanes.values() if lane.credit > 0 and not lane.is_draining]
        if not ready:
            return None
        first, second = random.choice(ready), random.choice(ready)
        return first if len(first.held) <= len(second.held) else second
