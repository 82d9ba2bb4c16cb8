"""Forgetting promised runs, wishes to stop runs, and completions, once they have been met."""

import asyncio
from collections import deque
from datetime import timedelta

from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.firing.owned import Backlog, OwnedShard, marker_of
from services.scheduler.ports.orders import TriggerStore

PAUSE = timedelta(milliseconds=50)
BATCH = 50


class Settler:
    """Forgets triggers whose executions are recorded, cancels and completions of executions that have ended."""

    def __init__(self, store: TriggerStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._triggers: deque[tuple[OwnedShard, str]] = deque()
        self._cancels: deque[tuple[int, str]] = deque()
        self._completions: deque[tuple[int, str]] = deque()
        self._added = asyncio.Event()
        self._settled = 0
        self._log = get_logger()

    @property
    def backlog(self) -> Backlog:
        """What is to be forgotten and is not yet."""
        return Backlog(len(self._triggers) + len(self._cancels) + len(self._completions), self._settled)

    def settle(self, shard: OwnedShard, execution_id: str) -> None:
        """Takes a trigger to be forgotten. Repeating it changes nothing."""
        if shard.settle_trigger(execution_id):
            self._triggers.append((shard, execution_id))
            self._added.set()

    def settle_cancel(self, shard: OwnedShard, execution_id: str) -> None:
        """Takes a wish to stop a run to be forgotten, if there is one."""
        if execution_id in shard.cancels:
            shard.cancels.discard(execution_id)
            self._cancels.append((shard.shard, execution_id))
            self._added.set()

    def settle_completion(self, shard: OwnedShard, execution_id: str) -> None:
        """Takes the end of an accepted run to be forgotten, which the ledger has."""
        shard.completions.discard(execution_id)
        self._completions.append((shard.shard, execution_id))
        self._added.set()

    async def run(self) -> None:
        """Works until cancelled. What could not be deleted is tried again."""
        while True:
            await self._added.wait()
            await self._clock.sleep(PAUSE)
            self._added.clear()
            triggers, cancels, completions = self._next_triggers(), _first(self._cancels), _first(self._completions)
            try:
                if triggers:
                    await self._store.settle([(shard.shard, identity) for shard, identity in triggers])
                if cancels:
                    await self._store.settle_cancels(cancels)
                if completions:
                    await self._store.settle_completions(completions)
            except Fault as error:
                self._triggers.extendleft(reversed(triggers))
                self._log.warning("triggers not yet forgotten", waiting=len(self._triggers), error=error.message)
            else:
                for _ in cancels:
                    self._cancels.popleft()
                for _ in completions:
                    self._completions.popleft()
                self._settled += len(triggers) + len(cancels) + len(completions)
            if self._triggers or self._cancels or self._completions:
                self._added.set()

    def _next_triggers(self) -> list[tuple[OwnedShard, str]]:
        """Some that may go. A run for whose end others wait keeps its trigger until that is durable, too.

        Once its shard was given up, it keeps it for the next owner.
        """
        taken = [self._triggers.popleft() for _ in range(min(BATCH, len(self._triggers)))]
        held = [(shard, identity) for shard, identity in taken if marker_of(identity) in shard.unrecorded]
        self._triggers.extend(item for item in held if item[0].is_open)
        return [item for item in taken if item not in held]


def _first(queue: deque[tuple[int, str]]) -> list[tuple[int, str]]:
    return [queue[index] for index in range(min(BATCH, len(queue)))]
