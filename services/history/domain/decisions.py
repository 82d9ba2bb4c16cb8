"""What policies decided, as it is accounted for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from services.history.domain.moments import LAST_US


class Outcome(IntEnum):
    """What came of a decision; the numbers of chronos.history.v1.PolicyDecision.Outcome."""

    ALLOWED = 1
    WARNED = 2
    DENIED = 3
    UNREACHABLE_DENIED = 4
    UNREACHABLE_ALLOWED = 5


class Decision(NamedTuple):
    """A decision as it is kept."""

    id: bytes
    namespace: str
    job_id: str
    """Empty where it is about none."""
    time_us: int
    operation: int
    outcome: int
    policy_ids: tuple[str, ...]
    """Those that had something to say, each once."""
    content: bytes
    """All that was told, as a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionChoice:
    """Some decisions of a namespace. What is empty leaves nothing out."""

    namespace: str
    job_id: str = ""
    policy_id: str = ""
    outcomes: frozenset[int] = field(default_factory=frozenset)
    operations: frozenset[int] = field(default_factory=frozenset)
    from_us: int = 0
    """Decided at or after this moment."""
    to_us: int = LAST_US + 1
    """Decided before this moment."""

    def holds(self, decision: Decision) -> bool:
        """Whether a decision is one of them."""
        return (
            decision.namespace == self.namespace
            and self.job_id in ("", decision.job_id)
            and (not self.policy_id or self.policy_id in decision.policy_ids)
            and (not self.outcomes or decision.outcome in self.outcomes)
            and (not self.operations or decision.operation in self.operations)
            and self.from_us <= decision.time_us < self.to_us
        )


def first_of_each(decisions: Iterable[Decision]) -> list[Decision]:
    """The decisions without those whose id came before, in their order."""
    first: dict[bytes, Decision] = {}
    for decision in decisions:
        first.setdefault(decision.id, decision)
    return list(first.values())
