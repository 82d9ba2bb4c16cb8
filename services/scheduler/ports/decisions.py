"""The account of decisions, as history keeps it."""

from collections.abc import Sequence
from typing import Protocol

from chronos.history.v1 import policy_decision_pb2


class DecisionStore(Protocol):
    """Where decisions of policies become durable."""

    async def record(self, decisions: Sequence[policy_decision_pb2.PolicyDecision]) -> None:
        """Accounts for at most 1,000 decisions; one whose id is known already changes nothing.

        Durable once it returns. Raises Unavailable, and InvalidArgument when one of them can never be taken.
        """
