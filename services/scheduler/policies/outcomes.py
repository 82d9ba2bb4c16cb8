"""What came of a decision, in a word."""

from typing import TypeAlias

from chronos.history.v1 import policy_decision_pb2
from chronos.policy.v1 import decision_pb2

PolicyDecision = policy_decision_pb2.PolicyDecision
ALLOWED = PolicyDecision.ALLOWED
Outcome: TypeAlias = "policy_decision_pb2.PolicyDecision.Outcome.ValueType"


def outcome_of(decision: decision_pb2.Decision) -> Outcome:
    """What came of what was asked."""
    if not decision.allowed:
        return PolicyDecision.DENIED
    return PolicyDecision.WARNED if decision.warnings or decision.audited else ALLOWED
