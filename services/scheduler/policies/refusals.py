"""What a caller is told of a refusal."""

from collections.abc import Sequence

from chronos.policy.v1 import decision_pb2

from libs.faults import Refused, Violation

LARGEST_DECISION_BYTES = 2_000
LONGEST_MESSAGE = 200
LONGEST_VALUE_BYTES = 200
MOST_NAMED = 3
Decision = decision_pb2.Decision
RuleResult = decision_pb2.RuleResult


def refusal(decisions: Sequence[Decision]) -> Refused:
    """The fault for decisions of which at least one refuses; a rule that refuses twice is told once."""
    broken: dict[tuple[str, str], RuleResult] = {}
    for decision in decisions:
        for violation in decision.violations:
            broken.setdefault((violation.policy_id, violation.rule_id), violation)
    violations = list(broken.values())
    return Refused(
        _sentence(violations),
        violations=[Violation(field=one.field, description=_short(one.message)) for one in violations if one.field],
        decision=_cut(violations).SerializeToString(),
    )


def named(result: RuleResult) -> str:
    """A rule as people write it: `policy/rule: message`."""
    return f"{result.policy_id}/{result.rule_id}: {_short(result.message)}"


def _sentence(violations: Sequence[RuleResult]) -> str:
    if not violations:
        return "a policy refuses this; ask for its decisions to see which one"
    rules = "; ".join(named(one) for one in violations[:MOST_NAMED])
    others = len(violations) - MOST_NAMED
    more = f"; and {others} more" if others > 0 else ""
    return f"refused by policy {rules}{more}"


def _cut(violations: Sequence[RuleResult]) -> Decision:
    """The violations that fit into trailers of a call; the account has all of them in full."""
    decision = Decision(allowed=False)
    for violation in violations:
        told = decision.violations.add()
        told.CopyFrom(violation)
        told.message = _short(told.message)
        if told.actual_value.ByteSize() > LONGEST_VALUE_BYTES:
            told.actual_value.string_value = "(too large to be shown)"
        if decision.ByteSize() > LARGEST_DECISION_BYTES:
            del decision.violations[-1]
            break
    return decision


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"
