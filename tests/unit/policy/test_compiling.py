"""A bad policy is refused with everything that is wrong with it, and where."""

from typing import Any

import pytest

from services.policy.domain.compiled import compile_policy
from services.policy.domain.policy import AllOf, AnyOf, Condition, Expression, Json, Not, Operation, Test, Type
from tests.unit.policy.language import policy, problems

GOOD = Test("a", "exists")
AT = "rules[0].condition"


@pytest.mark.parametrize(
    ("condition", "path", "words"),
    [
        (Test("a", "resembles", 1), "operator", 'there is no operator "resembles"; there are contains, '),
        (Test("a..b", "exists"), "field", '"a..b" is no path'),
        (Test("", "exists"), "field", "1 to 256 characters"),
        (Test("a", "equals"), "value", "equals needs a value"),
        (Test("a", "exists", 1), "value", "exists takes no value"),
        (Test("a", "is_empty", parameter="good"), "parameter", "is_empty takes no value"),
        (Test("a", "equals", 1, "good"), "parameter", "not both"),
        (Test("a", "equals", parameter="bad"), "parameter", 'no parameter "bad"; its parameters: good, nothing'),
        (Test("a", "equals", parameter="nothing"), "parameter", "equals needs a value"),
        (Test("a", "in", "b"), "value", "in: it must be a list"),
        (Test("a", "not_in", parameter="good"), "parameter", "not_in: it must be a list"),
        (Test("a", "starts_with", 5), "value", "it must be a text"),
        (Test("a", "ends_with", ["b"]), "value", "it must be a text"),
        (Test("a", "matches", 5), "value", "it must be a text"),
        (Test("a", "matches", "("), "value", "is no regular expression (RE2): missing )"),
        (Test("a", "matches", "(a)\\1"), "value", "is no regular expression (RE2): invalid escape"),
        (Test("a", "matches", "(?=a)"), "value", "is no regular expression (RE2)"),
        (Test("a", "matches", "a" * 1001), "value", "at most 1,000 characters"),
        (Test("a", "matches", "((a{1,100}){1,100}){1,100}"), "value", "is no regular expression (RE2)"),
        (Test("a", "less_than", True), "value", "a number, a duration"),
        (Test("a", "gt", "soon"), "value", "greater_than: it must be a number, a duration"),
        (Test("a", "lt", "2026-03-01T09:00:00"), "value", "a time like 2026-03-01T09:00:00Z"),
        (Test("a", "in", [0] * 10_001), "value", "too large"),
        (AllOf(()), "and", "at least one condition"),
        (AnyOf(()), "or", "at least one condition"),
        (AllOf((GOOD, AnyOf((GOOD, Not(Test("a", "in", 1)))))), "and[1].or[1].not.value", "it must be a list"),
        (Not(Expression("1 +")), "not.expression", "it is no CEL"),
    ],
)
def test_a_fault_is_told_with_its_path(condition: Condition, path: str, words: str) -> None:
    found = problems(policy(condition, parameters={"good": 1, "nothing": None}))
    assert list(found) == [f"{AT}.{path}"]
    assert words in found[f"{AT}.{path}"]


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"rules": ()}, "rules", "at least one rule"),
        ({"operations": frozenset({Operation.RUN})}, "operations", "job policies never judge run; they judge create"),
        ({"type": Type.CLUSTER, "tags": {"a": "b"}}, "tags", "leave tags out"),
        ({"timezone": "Mars/Base"}, "timezone", "Europe/Berlin"),
        ({"timezone": "../etc/passwd"}, "timezone", "Europe/Berlin"),
        ({"parameters": {"x": [[0] * 9_000] * 3}}, "parameters", "too large"),
    ],
)
def test_a_fault_of_the_policy_itself_is_told(fields: dict[str, Any], path: str, words: str) -> None:
    found = problems(policy(GOOD, **fields))
    assert list(found) == [path]
    assert words in found[path]


def test_all_faults_are_told_at_once() -> None:
    bad = AllOf((Test("a..b", "in", 1), Test("a", "like"), Expression("x")))
    faults = ["and[0].field", "and[0].value", "and[1].operator", "and[2].expression"]
    assert list(problems(policy(bad, GOOD, bad, timezone="nowhere"))) == [
        "timezone",
        *(f"rules[0].condition.{fault}" for fault in faults),
        *(f"rules[2].condition.{fault}" for fault in faults),
    ]


def nested(depth: int) -> Condition:
    condition: Condition = GOOD
    for _ in range(depth - 1):
        condition = Not(condition)
    return condition


def test_conditions_are_nested_at_most_sixteen_deep() -> None:
    assert problems(policy(nested(16))) == {}
    assert problems(policy(nested(17))) == {AT + ".not" * 16: "conditions are nested at most 16 deep"}
    assert len(problems(policy(nested(900)))) == 1


def test_a_policy_has_at_most_a_thousand_rules_and_conditions() -> None:
    assert problems(policy(*[GOOD] * 1000)) == {}
    assert set(problems(policy(*[GOOD] * 1001))) == {"rules"}
    assert problems(policy(AllOf((GOOD,) * 999))) == {}
    assert list(problems(policy(AllOf((GOOD,) * 2000)))) == [f"{AT}.and[999]"]


def test_two_rules_have_two_ids() -> None:
    written = policy(GOOD)
    assert list(problems(policy(rules=written.rules * 2))) == ["rules[1].id"]


@pytest.mark.parametrize("value", [0, False, "", [], {}, 0.0])
def test_an_empty_value_is_a_value(value: Json) -> None:
    assert problems(policy(Test("a", "equals", value))) == {}


def test_uses_are_those_of_all_conditions() -> None:
    conditions = (
        Not(AllOf((GOOD, Test("now.hour", "exists")))),
        Expression("load.job_runs < 5"),
        Test("job.now", "exists"),
    )
    assert compile_policy(policy(*conditions)).uses == {"now", "load"}
