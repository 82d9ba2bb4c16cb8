"""How conditions combine, and what rules say that do not hold."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.domain.compiled import compile_policy
from services.policy.domain.judging import PolicySet
from services.policy.domain.policy import Action, AllOf, AnyOf, Condition, Expression, Json, Not, Rule, Test
from tests.unit.policy.language import holds, judged, message, policy, question
from tests.unit.policy.test_operators import json_values

TRUE, FALSE = Test("yes", "exists"), Test("no", "exists")
UNKNOWN = Expression("job.no.where == 1")
FACTS: dict[str, Json] = {"job": {"yes": 1, "url": "http://a", "teams": ["a", "b"]}}


@pytest.mark.parametrize(
    ("condition", "is_held"),
    [
        (AllOf((TRUE, TRUE)), True),
        (AllOf((TRUE, FALSE)), False),
        (AnyOf((FALSE, TRUE)), True),
        (AnyOf((FALSE, FALSE)), False),
        (Not(FALSE), True),
        (Not(TRUE), False),
        (Not(Not(TRUE)), True),
        (AllOf((AnyOf((FALSE, TRUE)), Not(FALSE))), True),
    ],
)
def test_and_or_and_not_mean_what_they_say(condition: Condition, is_held: bool) -> None:
    assert holds(condition, FACTS) is is_held


@pytest.mark.parametrize(
    ("condition", "is_held"),
    [
        (UNKNOWN, False),
        (Not(UNKNOWN), False),
        (Not(Not(UNKNOWN)), False),
        (AllOf((TRUE, UNKNOWN)), False),
        (Not(AllOf((FALSE, UNKNOWN))), True),
        (Not(AllOf((UNKNOWN, FALSE))), True),
        (Not(AllOf((UNKNOWN, TRUE))), False),
        (AnyOf((UNKNOWN, TRUE)), True),
        (AnyOf((TRUE, UNKNOWN)), True),
        (AnyOf((FALSE, UNKNOWN)), False),
        (Not(AnyOf((FALSE, UNKNOWN))), False),
        (Not(AnyOf((TRUE, UNKNOWN))), False),
    ],
)
def test_what_cannot_be_told_is_never_taken_for_kept(condition: Condition, is_held: bool) -> None:
    assert holds(condition, FACTS) is is_held


conditions = st.recursive(
    st.sampled_from([TRUE, FALSE, UNKNOWN]),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=6,
)


def kleene(condition: Condition) -> bool | None:
    """What a condition is in three-valued logic, told the slow way."""
    match condition:
        case Not():
            inner = kleene(condition.condition)
            return None if inner is None else not inner
        case AllOf():
            parts = [kleene(one) for one in condition.conditions]
            return False if False in parts else None if None in parts else True
        case AnyOf():
            parts = [kleene(one) for one in condition.conditions]
            return True if True in parts else None if None in parts else False
        case Test():
            return condition is TRUE or condition == TRUE
        case Expression():
            return None


@given(condition=conditions)
def test_a_rule_holds_only_if_its_condition_is_known_to(condition: Condition) -> None:
    assert holds(condition, FACTS) is (kleene(condition) is True)
    if kleene(condition) is not True:
        assert message(condition, FACTS)


@pytest.mark.parametrize(
    ("condition", "words", "field", "value"),
    [
        (Test("url", "starts_with", "https://"), 'url must start with "https://"', "url", "http://a"),
        (Test("team", "equals", "data"), 'team must be "data"', "team", None),
        (Test("teams[*]", "equals", "a"), 'teams[1] must be "a"', "teams[1]", "b"),
        (Test("teams[*]", "not_equals", "b"), 'teams[1] must not be "b"', "teams[1]", "b"),
        (Test("gone[*].x", "exists"), "gone[*].x must be there", "gone[*].x", None),
        (Not(Test("teams[0]", "equals", "a")), 'teams[0] must not be "a"', "teams[0]", "a"),
        (Not(Test("yes", "less_than", 2)), "yes must not be less than 2", "yes", 1),
        (Not(Test("no", "not_exists")), "no must be there", "no", None),
        (AllOf((TRUE, FALSE)), "no must be there", "no", None),
        (AnyOf((FALSE, Test("yes", "equals", 2))), "no must be there, or yes must be 2", "no", None),
        (Not(AnyOf((FALSE, TRUE))), "yes must not be there", "yes", 1),
        (Not(AllOf((TRUE, TRUE))), "not all of these may hold: yes must not be there, ...", "yes", 1),
        (Expression("1 == 2"), "the expression is not true", "", None),
        (Not(Expression("1 == 1")), "the expression must not be true", "", None),
        (AllOf((TRUE, UNKNOWN)), "the expression gives nothing, since there is no 'no'", "", None),
    ],
)
def test_a_broken_rule_says_what_it_looked_at(condition: Condition, words: str, field: str, value: Json) -> None:
    (violation,) = judged(condition, FACTS).decision.violations
    assert (violation.message, violation.field, violation.actual_value) == (words, field, value)


@pytest.mark.parametrize("value", ["x" * 5000, ["x" * 5000], list(range(5000)), {"x": "y" * 5000}])
def test_a_long_value_is_cut_where_it_is_shown(value: Json) -> None:
    (violation,) = judged(Test("long", "equals", value), {"job": {"long": [value]}}).decision.violations
    assert isinstance(violation.actual_value, str)
    assert len(violation.actual_value) == 503
    assert violation.actual_value.endswith("...")
    assert len(violation.message) < 150


def test_a_rules_own_message_comes_first_and_says_what_could_not_be_told() -> None:
    rule = Rule(id="a", name="A", condition=Test("no", "exists"), message="add one")
    unknown = Rule(id="b", name="B", condition=UNKNOWN, message="mend it")
    policies = PolicySet([compile_policy(policy(rules=(rule, unknown)))])
    assert [said.message for said in policies.judge(question(FACTS)).decision.violations] == [
        "add one",
        "mend it (the expression gives nothing, since there is no 'no')",
    ]


@given(
    facts=st.dictionaries(
        st.sampled_from(["job", "before", "timing", "load", "endpoint", "calendars", "caller", "other"]), json_values
    ),
    surrogate=st.booleans(),
)
def test_judging_never_raises_whatever_the_facts(facts: dict[str, Json], surrogate: bool) -> None:
    if surrogate:
        facts = {**facts, "job": {"a": "\ud800", "b": ["\udfff"], "tags": {"\ud800": "\ud800"}}}
    fields = ["a", "a[*].b", "b[0]", "tags[*]", "before.a", "load.job_runs", "now.hour", "calendars[*]", "params.x"]
    values: list[tuple[str, Json]] = [("matches", "a"), ("in", ["a", [1]]), ("less_than", "5m"), ("is_empty", None)]
    tests = [Test(field, operator, value) for field, (operator, value) in itertools.product(fields, values)]
    texts = [
        "job.a == 1",
        "job.b.all(x, x.matches('a'))",
        "size(job.a) > before.a",
        "load.job_runs < 1 && now.hour > 1",
    ]
    outcome = judged(AnyOf((Test("never", "exists"), *map(Not, tests), *map(Expression, texts))), facts)
    assert outcome.decision.is_allowed or outcome.decision.violations[0].message


def test_a_million_elements_break_every_rule_and_say_so() -> None:
    facts: dict[str, Json] = {"job": {"yes": 1, "many": [0] * 1_000_000}}
    for condition in (TRUE, FALSE, Not(FALSE), Not(TRUE)):
        assert message(condition, facts) == (
            "it cannot be judged, since the facts are too large: a list or map has more than 10,000 elements"
        )
    assert judged(TRUE, facts, action=Action.ALLOW).decision.allowed_by is None


@pytest.mark.parametrize(
    ("large", "words"),
    [
        ({"a": [[0] * 9_999] * 3}, "more than 20,000 values"),
        ({"a": "x" * (1 << 20)}, "larger than 1 MiB"),
        ({"\u00e9" * (1 << 19): 1}, "larger than 1 MiB"),
    ],
)
def test_other_facts_beyond_the_bounds_break_every_rule(large: Json, words: str) -> None:
    assert words in message(TRUE, {"job": large})


def test_facts_may_be_as_large_as_the_bounds() -> None:
    assert holds(TRUE, {"job": {"yes": 1, "a": [0] * 10_000, "b": "x" * 900_000}})


def test_facts_that_hold_themselves_are_too_deep() -> None:
    facts: dict[str, Json] = {"yes": 1}
    facts["self"] = facts
    assert "nested deeper than 32" in message(TRUE, {"job": facts})


def test_a_regular_expression_that_backtracks_elsewhere_is_quick() -> None:
    assert not holds(Test("text", "matches", "^(a+)+$"), {"job": {"text": "a" * 100_000 + "b"}})


def test_a_search_that_would_take_too_long_is_not_made_and_never_taken_for_kept() -> None:
    slow = Test("text", "matches", "(x?){500}y")
    facts: dict[str, Json] = {"job": {"text": "x" * 1_000_000}}
    assert message(slow, facts) == "text is too long for the regular expression"
    assert message(Not(slow), facts) == "text is too long for the regular expression"
