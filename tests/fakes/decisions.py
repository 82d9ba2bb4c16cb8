"""The account of decisions as a scheduler sees it, in memory."""

import asyncio
from collections.abc import Sequence

from chronos.history.v1.policy_decision_pb2 import PolicyDecision

from libs.faults import Fault, InvalidArgument, Unavailable


class FakeDecisionStore:
    """See ports.decisions.DecisionStore.

    Each call raises `fault` while there is one. While `is_held`, calls wait for `release`. The answers to the next
    `lost_answers` calls are lost once the decisions are durable. Decisions about the jobs in `invalid` are never taken.
    """

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.lost_answers = 0
        self.invalid: set[str] = set()
        self.told: list[PolicyDecision] = []
        self.batches: list[int] = []
        """How many came at once."""
        self.bytes: list[int] = []
        """How much came at once."""
        self._decisions: dict[str, PolicyDecision] = {}
        self._open = asyncio.Event()
        self._open.set()

    @property
    def decisions(self) -> list[PolicyDecision]:
        """What is durable, in the order of its first telling."""
        return list(self._decisions.values())

    @property
    def is_held(self) -> bool:
        return not self._open.is_set()

    @is_held.setter
    def is_held(self, is_held: bool) -> None:
        if is_held:
            self._open.clear()
        else:
            self._open.set()

    def release(self) -> None:
        self.is_held = False

    async def record(self, decisions: Sequence[PolicyDecision]) -> None:
        self.batches.append(len(decisions))
        self.bytes.append(sum(decision.ByteSize() for decision in decisions))
        self.told += decisions
        await self._open.wait()
        if self.fault is not None:
            raise self.fault
        if any(decision.job_id in self.invalid for decision in decisions):
            raise InvalidArgument.of("decisions", "one of them cannot be taken")
        for decision in decisions:
            self._decisions.setdefault(decision.id, decision)
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unavailable("history went away")
