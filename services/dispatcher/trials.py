"""Trial deliveries: one attempt, made for a person who waits for what comes back."""

import random
import uuid
from dataclasses import dataclass
from datetime import timedelta

from libs.clock import Clock
from libs.faults import LimitReached
from services.dispatcher.domain import trace
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.outcome import Verdict
from services.dispatcher.domain.targets.plan import Request, TargetPlan
from services.dispatcher.ports import Sender

JOB = "trial"
MOST_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of a trial, and what was sent."""

    facts: Facts
    request: Request
    verdict: Verdict
    duration: timedelta


class Trials:
    """Makes trial deliveries beside those of jobs, past the circuit breakers, few at a time."""

    def __init__(self, sender: Sender, clock: Clock, dice: random.Random) -> None:
        self._sender = sender
        self._clock = clock
        self._dice = dice
        self._under_way = 0

    async def make(self, target: TargetPlan, *, namespace: str) -> Trial:
        """Delivers once, within the target's timeout. Raises LimitReached."""
        if self._under_way >= MOST_AT_ONCE:
            raise LimitReached(
                f"{MOST_AT_ONCE} trial deliveries are under way here; try again when one of them has ended",
                retry_after=timedelta(seconds=1),
            )
        facts = self._facts(namespace)
        request = target.request(facts)
        began = self._clock.monotonic()
        self._under_way += 1
        try:
            verdict = target.judge(await self._sender.send(request))
        finally:
            self._under_way -= 1
        duration = timedelta(seconds=self._clock.monotonic() - began)
        return Trial(facts=facts, request=request, verdict=verdict, duration=duration)

    def _facts(self, namespace: str) -> Facts:
        now, identity = self._clock.now(), str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
        return Facts(
            job_id=JOB,
            job_name=JOB,
            namespace=namespace,
            execution_id=identity,
            scheduled_time=now,
            attempt=1,
            traceparent=trace.child("", identity, self._dice.getrandbits),
            sent_at=now,
        )
