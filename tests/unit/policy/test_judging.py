"""What policies apply, in which order they are asked, and how long their decision holds."""

from dataclasses import replace

import pytest

from services.policy.domain.compiled import CompiledPolicy, compile_policy
from services.policy.domain.judging import Decision, PolicySet, applies
from services.policy.domain.policy import OPERATIONS, Action, Expression, Json, Operation, Severity, Test, Type
from tests.unit.policy.language import compiled, policy, question

KEPT, BROKEN = Test("id", "not_exists"), Test("id", "exists")


def spoken(decision: Decision) -> list[str]:
    return [said.policy_id for said in decision.violations + decision.warnings + decision.audited]


def decide(*policies: CompiledPolicy, facts: dict[str, Json] | None = None, **fields: object) -> Decision:
    return PolicySet(policies).judge(question(facts, **fields)).decision


@pytest.mark.parametrize(
    ("action", "place"), [(Action.DENY, "violations"), (Action.WARN, "warnings"), (Action.AUDIT, "audited")]
)
def test_a_broken_rule_does_what_its_action_says(action: Action, place: str) -> None:
    decision = decide(compiled(KEPT, BROKEN, action=action, severity=Severity.INFO, version=3, name="Ids"))
    (said,) = getattr(decision, place)
    assert spoken(decision) == ["one"]
    assert decision.is_allowed is (action is not Action.DENY)
    assert (said.policy_name, said.policy_version, said.rule_id, said.rule_name) == ("Ids", 3, "rule-1", "Rule 1")
    assert (said.action, said.severity, said.field) == (action, Severity.INFO, "id")


def test_a_rules_own_action_goes_before_that_of_its_policy() -> None:
    written = policy(BROKEN, BROKEN)
    written = replace(written, rules=(replace(written.rules[0], action=Action.WARN), written.rules[1]))
    decision = decide(compile_policy(written))
    assert [said.rule_id for said in decision.warnings] == ["rule-0"]
    assert [said.rule_id for said in decision.violations] == ["rule-1"]


def test_policies_are_asked_by_priority_and_then_by_id() -> None:
    ids = [("c", 0), ("b", 5), ("a", 0), ("d", -5)]
    decision = decide(*(compiled(BROKEN, id=name, priority=priority) for name, priority in ids))
    assert spoken(decision) == ["b", "a", "c", "d"]


def test_an_allowing_rule_that_holds_ends_the_asking_and_takes_nothing_back() -> None:
    first = compiled(BROKEN, id="first", priority=2)
    allowing = compiled(BROKEN, KEPT, id="allowing", priority=1, action=Action.ALLOW)
    last = compiled(BROKEN, id="last")
    decision = decide(last, allowing, first)
    assert decision.allowed_by is not None
    assert (decision.allowed_by.policy_id, decision.allowed_by.rule_id) == ("allowing", "rule-1")
    assert spoken(decision) == ["first"]
    assert spoken(decide(allowing, last)) == []


def test_an_allowing_rule_that_does_not_hold_says_nothing() -> None:
    decision = decide(compiled(BROKEN, id="allowing", priority=1, action=Action.ALLOW), compiled(BROKEN, id="last"))
    assert decision.allowed_by is None
    assert spoken(decision) == ["last"]


def test_an_allowing_rule_that_cannot_be_told_allows_nothing() -> None:
    decision = decide(compiled(Expression("job.a.b == 1"), action=Action.ALLOW), compiled(BROKEN, id="last"))
    assert spoken(decision) == ["last"]


def test_a_disabled_policy_says_nothing() -> None:
    assert decide(compiled(BROKEN, is_enabled=False)) == Decision()


def test_every_operation_is_judged_by_one_type() -> None:
    assert sorted(operation for operations in OPERATIONS.values() for operation in operations) == sorted(Operation)
    for operation in Operation:
        judging = [kind for kind in Type if not decide(compiled(BROKEN, type=kind), operation=operation).is_allowed]
        assert judging == [kind for kind, operations in OPERATIONS.items() if operation in operations]


@pytest.mark.parametrize(
    ("fields", "operation", "namespace", "tags", "is_judged"),
    [
        ({}, Operation.CREATE, "default", {}, True),
        ({"operations": frozenset({Operation.UPDATE})}, Operation.CREATE, "default", {}, False),
        ({"operations": frozenset({Operation.UPDATE})}, Operation.UPDATE, "default", {}, True),
        ({"namespaces": frozenset({"a", "b"})}, Operation.CREATE, "a", {}, True),
        ({"namespaces": frozenset({"a", "b"})}, Operation.CREATE, "default", {}, False),
        ({"tags": {"team": "data"}}, Operation.CREATE, "default", {"team": "data", "x": "y"}, True),
        ({"tags": {"team": "data"}}, Operation.CREATE, "default", {"team": "other"}, False),
        ({"tags": {"team": "data"}}, Operation.CREATE, "default", {}, False),
        ({"tags": {"team": ""}}, Operation.CREATE, "default", {"team": "other"}, True),
        ({"tags": {"team": ""}}, Operation.CREATE, "default", {"x": "y"}, False),
        ({"tags": {"team": "data", "x": "y"}}, Operation.CREATE, "default", {"team": "data"}, False),
    ],
)
def test_a_policy_judges_what_it_applies_to(
    fields: dict[str, object], operation: Operation, namespace: str, tags: dict[str, Json], is_judged: bool
) -> None:
    one = compiled(BROKEN, **fields)
    facts: dict[str, Json] = {"job": {"tags": tags}}
    assert decide(one, facts=facts, operation=operation, namespace=namespace).is_allowed is not is_judged
    assert applies(one.policy, operation, namespace, {name: str(value) for name, value in tags.items()}) is is_judged


def test_the_tags_of_the_job_as_it_will_be_and_as_it_was_count() -> None:
    one = compiled(BROKEN, tags={"team": "data"})
    tagged: Json = {"tags": {"team": "data"}}
    assert not decide(one, facts={"job": {"tags": {}}, "before": tagged}, operation=Operation.UPDATE).is_allowed
    assert not decide(one, facts={"job": tagged, "before": {"tags": {}}}, operation=Operation.UPDATE).is_allowed
    assert not decide(one, facts={"before": tagged}, operation=Operation.DELETE).is_allowed
    assert decide(one, facts={"job": {}, "before": {"tags": {}}}, operation=Operation.UPDATE).is_allowed


def test_namespaces_without_policies_of_their_own_share_one_index() -> None:
    policies = PolicySet([compiled(BROKEN, namespaces=frozenset({"a"})), compiled(BROKEN, id="two")])
    for number in range(1000):
        policies.judge(question(namespace=f"namespace-{number}"))
    assert spoken(policies.judge(question(namespace="a")).decision) == ["one", "two"]
    assert len(policies._by_place) == 2


@pytest.mark.parametrize(
    ("field", "is_lasting"),
    [
        ("name", True),
        ("timing.runs_per_day", True),
        ("now.hour", False),
        ("load.job_runs", False),
        ("endpoint.is_private", False),
        ("calendars", False),
    ],
)
def test_a_decision_lasts_unless_it_rests_on_what_changes(field: str, is_lasting: bool) -> None:
    one = compiled(Test(field, "exists"))
    assert PolicySet([one]).judge(question({"job": {}})).is_lasting is is_lasting
    assert one.uses == frozenset({field.split(".")[0]} - {"name"})


def test_a_policy_that_was_not_asked_does_not_shorten_a_decision() -> None:
    clocked = Test("now.hour", "exists")
    elsewhere = compiled(clocked, id="elsewhere", namespaces=frozenset({"other"}))
    allowing = compiled(KEPT, id="allowing", priority=1, action=Action.ALLOW)
    later = compiled(clocked, id="later")
    assert PolicySet([elsewhere, allowing, later]).judge(question()).is_lasting
    assert not PolicySet([elsewhere, later]).judge(question()).is_lasting


def test_no_policy_says_nothing_and_that_lasts() -> None:
    judgement = PolicySet([]).judge(question())
    assert judgement.decision == Decision()
    assert judgement.decision.is_allowed
    assert judgement.is_lasting
