"""What policies decided, on its way to its account."""

import asyncio
import secrets
import uuid
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from chronos.history.v1 import policy_decision_pb2

from libs.clock import Clock
from libs.faults import Fault, InvalidArgument
from libs.log import get_logger
from services.scheduler import metrics
from services.scheduler.policies.shortened import shortened
from services.scheduler.ports.decisions import DecisionStore

PolicyDecision = policy_decision_pb2.PolicyDecision
MOST_WAITING = 10_000
BATCH = 500
BATCH_BYTES = 1024 * 1024
GATHERING = timedelta(milliseconds=50)
PAUSE_AFTER_FAILURE = timedelta(seconds=1)


class Accounts:
    """See ports.policies.Accounts. What waits is in memory alone: a replica that dies takes it along.

    Told again until history has it. When more than `most_waiting` wait, the oldest go unrecorded, and are counted.
    """

    def __init__(
        self, store: DecisionStore, clock: Clock, *, takes_allowed: bool = False, most_waiting: int = MOST_WAITING
    ) -> None:
        self._store = store
        self._clock = clock
        self._takes_allowed = takes_allowed
        self._most_waiting = most_waiting
        self._waiting: deque[PolicyDecision] = deque()
        self._sending: Sequence[PolicyDecision] = ()
        self._most_at_once = BATCH
        self._added = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._is_losing = False
        self._log = get_logger()

    @property
    def waiting(self) -> int:
        """Decisions that are not durable yet."""
        return len(self._waiting) + len(self._sending)

    @property
    def takes_allowed(self) -> bool:
        """See ports.policies.Accounts."""
        return self._takes_allowed

    def add(self, decision: PolicyDecision) -> None:
        """See ports.policies.Accounts. Fills in an id that sorts by the time, and the time itself, where they miss."""
        decision = shortened(decision)
        if not decision.HasField("time"):
            decision.time.FromDatetime(self._clock.now())
        if not decision.id:
            decision.id = decision_id(decision.time.ToMicroseconds())
        metrics.count_policy_decision(decision.operation, decision.outcome)
        self._waiting.append(decision)
        self._drop_surplus()
        self._added.set()

    async def run(self) -> None:
        """Records until cancelled. What comes within 50 ms goes together."""
        pause = GATHERING
        while True:
            await self._added.wait()
            await self._clock.sleep(pause)
            self._added.clear()
            pause = GATHERING
            try:
                await self._record()
            except Fault as fault:
                self._log.warning("decisions wait for their account", waiting=self.waiting, error=fault.message)
                pause = PAUSE_AFTER_FAILURE
            if self._waiting:
                self._added.set()

    async def drain(self) -> None:
        """Records what waits, at the end, while `run` may still go on; gives up at the first failure."""
        try:
            while self.waiting:
                await self._record()
        except Fault as fault:
            self._log.error("decisions may be lost to their account", waiting=self.waiting, error=fault.message)

    async def _record(self) -> None:
        async with self._one_at_a_time:
            self._sending = batch = self._take_batch()
            if batch:
                await self._send(batch)

    async def _send(self, batch: Sequence[PolicyDecision]) -> None:
        try:
            await self._store.record(batch)
        except InvalidArgument as fault:
            self._put_back()
            self._sift(batch, fault)
        except BaseException:
            self._put_back()
            raise
        else:
            self._sending, self._is_losing = (), False
            self._most_at_once = min(2 * self._most_at_once, BATCH)

    def _take_batch(self) -> list[PolicyDecision]:
        batch: list[PolicyDecision] = []
        size = 0
        while self._waiting and len(batch) < self._most_at_once:
            size += self._waiting[0].ByteSize()
            if batch and size > BATCH_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _put_back(self) -> None:
        self._waiting.extendleft(reversed(self._sending))
        self._sending = ()
        self._drop_surplus()

    def _sift(self, batch: Sequence[PolicyDecision], fault: InvalidArgument) -> None:
        """Finds what history will never take, by halves, and drops it: the others must not wait for ever."""
        if len(batch) > 1:
            self._most_at_once = len(batch) // 2
        elif self._waiting and self._waiting[0] is batch[0]:
            self._waiting.popleft()
            metrics.LOST_POLICY_DECISIONS.inc()
            self._log.error("history cannot take a decision", decision=batch[0].id, error=fault.message)

    def _drop_surplus(self) -> None:
        """What is being sent counts, but is not dropped."""
        while self._waiting and self.waiting > self._most_waiting:
            self._waiting.popleft()
            metrics.LOST_POLICY_DECISIONS.inc()
            if not self._is_losing:
                self._log.error("decisions are lost to their account, since history takes none", waiting=self.waiting)
            self._is_losing = True


def decision_id(us: int) -> str:
    """A fresh id that sorts by a Unix time in microseconds: a UUID of RFC 9562 version 7.

    48 bits of milliseconds, 12 bits of the fraction of the millisecond (its method 3), 62 random bits.
    """
    milliseconds, rest = divmod(us, 1_000)
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 7 << 76 | (rest * 4096 // 1_000) << 64
    return str(uuid.UUID(int=value | 2 << 62 | secrets.randbits(62)))
