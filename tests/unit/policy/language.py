"""What the tests of the language share."""

from collections.abc import Mapping
from datetime import UTC, datetime

from services.policy.domain.compiled import CompiledPolicy, PolicyError, compile_policy
from services.policy.domain.judging import Judgement, PolicySet, Question
from services.policy.domain.policy import Condition, Json, Operation, Policy, Rule

MOMENT = datetime(2026, 3, 6, 23, 30, tzinfo=UTC)
"""A Friday in UTC, and a Saturday in Berlin."""


def policy(*conditions: Condition, **fields: object) -> Policy:
    """A policy with a rule for each condition: `rule-0`, `rule-1`..."""
    rules = tuple(Rule(id=f"rule-{place}", name=f"Rule {place}", condition=one) for place, one in enumerate(conditions))
    return Policy(**{"id": "one", "name": "One", "rules": rules, **fields})  # type: ignore[arg-type]


def compiled(*conditions: Condition, **fields: object) -> CompiledPolicy:
    return compile_policy(policy(*conditions, **fields))


def question(facts: Mapping[str, Json] | None = None, **fields: object) -> Question:
    given = {"operation": Operation.CREATE, "namespace": "default", "facts": dict(facts or {}), "time": MOMENT}
    return Question(**{**given, **fields})  # type: ignore[arg-type]


def judged(condition: Condition, facts: Mapping[str, Json], **fields: object) -> Judgement:
    return PolicySet([compiled(condition, **fields)]).judge(question(facts))


def holds(condition: Condition, facts: Mapping[str, Json], **fields: object) -> bool:
    """Whether a rule with the condition lets the facts pass."""
    return judged(condition, facts, **fields).decision.is_allowed


def message(condition: Condition, facts: Mapping[str, Json], **fields: object) -> str:
    """What the rule says, which must not hold."""
    (violation,) = judged(condition, facts, **fields).decision.violations
    return violation.message


def problems(wrong: Policy) -> dict[str, str]:
    """What is wrong with a policy, by path."""
    try:
        compile_policy(wrong)
    except PolicyError as error:
        return {problem.path: problem.description for problem in error.problems}
    return {}
