"""Forgetting promised runs once they are recorded."""

from collections import deque
from datetime import timedelta

from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.ports import TriggerStore

PAUSE = timedelta(milliseconds=50)
BATCH = 50


class Settler:
    """Forgets triggers whose executions are recorded."""

    def __init__(self, store: TriggerStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._queue: deque[tuple[OwnedShard, str]] = deque()
        self._log = get_logger()

    def settle(self, shard: OwnedShard, execution_id: str) -> None:
        """Takes a trigger to be forgotten. Repeating it changes nothing."""
        if shard.settle_trigger(execution_id):
            self._queue.append((shard, execution_id))

    async def run(self) -> None:
        """Works until cancelled. What could not be deleted is tried again."""
        while True:
            await self._clock.sleep(PAUSE)
            batch = [self._queue[index] for index in range(min(BATCH, len(self._queue)))]
            if not batch:
                continue
            try:
                await self._store.settle([(shard.shard, identity) for shard, identity in batch])
            except Fault as error:
                self._log.warning("triggers not yet forgotten", waiting=len(self._queue), error=error.message)
                continue
            for _ in batch:
                self._queue.popleft()
