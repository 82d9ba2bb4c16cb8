"""Decisions cut to a size that thousands of them may wait in."""

from chronos.history.v1 import policy_decision_pb2
from chronos.policy.v1 import decision_pb2

PolicyDecision = policy_decision_pb2.PolicyDecision
USUAL_BYTES = 8 * 1024
"""A decision up to this size is left as it is."""
MOST_RESULTS = 20
MOST_CHARACTERS = 200


def shortened(decision: PolicyDecision) -> PolicyDecision:
    """The decision as it is where it is of usual size; else one with the first 20 results of each kind.

    Of those, messages and texts end after 200 characters, and a large list or map is only counted.
    """
    if decision.ByteSize() <= USUAL_BYTES:
        return decision
    short = PolicyDecision()
    short.CopyFrom(decision)
    for results in (short.decision.violations, short.decision.warnings, short.decision.audited):
        del results[MOST_RESULTS:]
        for result in results:
            _shorten(result)
    if short.decision.HasField("allowed_by"):
        _shorten(short.decision.allowed_by)
    return short


def _shorten(result: decision_pb2.RuleResult) -> None:
    result.message = _begin(result.message)
    result.field = _begin(result.field)
    value = result.actual_value
    if value.ByteSize() > MOST_CHARACTERS:
        match value.WhichOneof("kind"):
            case "list_value":
                value.string_value = f"(a list of {len(value.list_value.values)})"
            case "struct_value":
                value.string_value = f"(a map of {len(value.struct_value.fields)})"
            case _:
                value.string_value = _begin(value.string_value)


def _begin(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
