"""Policies and questions as REST and YAML show them."""

import re
from datetime import UTC, datetime

import pytest
import yaml
from chronos.policy.v1 import decision_service_pb2, policy_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.policy.domain.compiled import PolicyError, compile_policy
from services.policy.domain.documents import (
    CONDITION_FIELDS,
    POLICY_FIELDS,
    QUESTION_FIELDS,
    RULE_FIELDS,
    policy_from,
    question_from,
)
from services.policy.domain.facts import USES
from services.policy.domain.policy import (
    Action,
    AllOf,
    AnyOf,
    Expression,
    Json,
    Not,
    Operation,
    Rule,
    Severity,
    Test,
    Type,
)
from tests.unit.policy.test_operators import PAGE, json_values

DOCUMENT: dict[str, Json] = {
    "id": "one",
    "name": "One",
    "description": "why",
    "type": "Execution",
    "enabled": False,
    "priority": 5.0,
    "severity": "WARNING",
    "action": "warn",
    "namespaces": ["a"],
    "tags": {"team": ""},
    "operations": ["RUN", "trigger"],
    "parameters": {"most": 5.0},
    "timezone": "Europe/Berlin",
    "created_at": "2026-01-01T00:00:00Z",
    "version": 3,
    "etag": "x",
    "rules": [
        {
            "name": "Not too many",
            "description": "why",
            "message": "fewer",
            "action": "ACTION_UNSPECIFIED",
            "condition": {
                "and": [
                    {
                        "or": [
                            {"field": "load.job_runs", "operator": "lte", "parameter": "most"},
                            {"expression": "true"},
                        ]
                    },
                    {"not": {"field": "a", "operator": "equals", "value": False}},
                ]
            },
        },
        {
            "id": "two",
            "name": "Two",
            "action": "Deny",
            "condition": {"field": "a", "operator": "exists", "value": None},
        },
    ],
}


def test_a_document_is_read() -> None:
    read = policy_from(DOCUMENT)
    assert (read.id, read.name, read.version, read.type, read.is_enabled) == ("one", "One", 3, Type.EXECUTION, False)
    assert (read.priority, read.severity, read.action) == (5, Severity.WARNING, Action.WARN)
    assert read.namespaces == {"a"}
    assert read.tags == {"team": ""}
    assert read.operations == {Operation.RUN, Operation.TRIGGER}
    assert read.parameters == {"most": 5.0}
    assert read.timezone == "Europe/Berlin"
    assert read.rules == (
        Rule(
            id="not-too-many",
            name="Not too many",
            message="fewer",
            condition=AllOf(
                (
                    AnyOf((Test("load.job_runs", "less_or_equal", parameter="most"), Expression("true"))),
                    Not(Test("a", "equals", False)),
                )
            ),
        ),
        Rule(id="two", name="Two", action=Action.DENY, condition=Test("a", "exists")),
    )


def test_what_is_not_given_takes_its_default() -> None:
    rule: Json = {"name": "R", "condition": {"field": "a", "operator": "exists"}}
    read = policy_from({"name": "Büro rules!", "rules": [rule], "type": "TYPE_UNSPECIFIED", "tags": None})
    assert (read.id, read.type, read.is_enabled, read.priority) == ("buro-rules", Type.JOB, True, 0)
    assert (read.severity, read.action, read.rules[0].action) == (Severity.ERROR, Action.DENY, None)


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"name": ""}, "name", "has a name"),
        ({"rulez": []}, "rulez", "there is no such field; there are action, "),
        ({"type": "jobs"}, "type", '"jobs" is none of job, execution, cluster'),
        ({"enabled": "yes"}, "enabled", "true or false"),
        ({"priority": 1.5}, "priority", "whole number"),
        ({"priority": True}, "priority", "whole number"),
        ({"tags": {"a": 1}}, "tags.a", "a text"),
        ({"namespaces": "a"}, "namespaces", "a list"),
        ({"operations": ["run", "walk"]}, "operations[1]", '"walk" is none of create, '),
        ({"parameters": []}, "parameters", "a map"),
        ({"rules": {"name": "a"}}, "rules", "a list"),
        ({"rules": ["a"]}, "rules[0]", "a map"),
        ({"rules": [{"name": "a"}]}, "rules[0].condition", "what must hold"),
        ({"rules": [{"condition": {"expression": "true"}}]}, "rules[0].name", "has a name"),
        ({"rules": [{"name": "a", "condition": {"expression": "true"}, "if": 1}]}, "rules[0].if", "no such field"),
    ],
)
def test_a_wrong_field_is_told_with_its_path(change: dict[str, Json], path: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_from({**DOCUMENT, **change})
    (problem,) = caught.value.problems
    assert problem.path == path
    assert words in problem.description


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({"field": "a", "operator": "exists", "expression": "true"}, ""),
        ({"and": [{"expression": "true"}], "or": [{"expression": "true"}]}, ""),
        ({"operator": "exists"}, ""),
        ({"expression": "true", "operator": "exists"}, ""),
        ({"value": 0}, ""),
        ({"and": [{"not": {"value": 5}}]}, ".and[0].not"),
        ({"and": [{"expression": "true"}, 5]}, ".and[1]"),
        ({"not": [{"expression": "true"}]}, ".not"),
        ({"field": 5, "operator": "exists"}, ".field"),
        ({"field": "a", "op": "exists", "operator": "exists"}, ".op"),
    ],
)
def test_a_condition_is_exactly_one_thing(condition: Json, path: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_from({"name": "a", "rules": [{"name": "a", "condition": condition}]})
    assert f"rules[0].condition{path}" in [problem.path for problem in caught.value.problems]


def test_conditions_that_never_end_are_refused() -> None:
    endless: dict[str, Json] = {}
    endless["not"] = endless
    with pytest.raises(PolicyError, match="nested at most 16 deep"):
        policy_from({"name": "a", "rules": [{"name": "a", "condition": endless}]})


@given(document=st.dictionaries(st.sampled_from(sorted(POLICY_FIELDS)), json_values), condition=json_values)
def test_whatever_is_written_is_a_policy_or_refused(document: dict[str, Json], condition: Json) -> None:
    rules: dict[str, Json] = {"name": "a", "rules": [{"name": "a", "condition": condition}]}
    for written in (document, rules):
        try:
            compile_policy(policy_from(written))
        except PolicyError:
            continue


def test_documents_have_the_fields_of_the_protos() -> None:
    def fields(message: str) -> set[str]:
        return {field.name for field in policy_pb2.DESCRIPTOR.message_types_by_name[message].fields}

    assert fields("Policy") == POLICY_FIELDS
    assert fields("Rule") == RULE_FIELDS
    assert fields("Condition") == CONDITION_FIELDS
    asked = {field.name for field in decision_service_pb2.Question.DESCRIPTOR.fields}
    assert asked - {"permissions"} == QUESTION_FIELDS - {"timezone"}
    for kind, proto in ((Type, "Type"), (Severity, "Severity"), (Action, "Action"), (Operation, "Operation")):
        names = policy_pb2.Policy.DESCRIPTOR.enum_types_by_name[proto].values_by_name
        assert {name.lower() for name in names if not name.endswith("_UNSPECIFIED")} == set(kind)


def test_a_question_is_read() -> None:
    read = question_from(
        {
            "operation": "Trigger",
            "job": {"namespace": "a", "timezone": "Europe/Berlin"},
            "caller": "key",
            "time": "2026-03-06T23:30:00+01:00",
            "load": {"job_runs": 1},
            "calendars": ["today"],
            "timing": None,
        }
    )
    assert (read.operation, read.namespace, read.timezone) == (Operation.TRIGGER, "a", "Europe/Berlin")
    assert read.time == datetime(2026, 3, 6, 22, 30, tzinfo=UTC)
    assert read.facts["caller"] == {"id": "key", "permissions": []}
    assert read.facts["load"] == {"job_runs": 1}
    assert "timing" not in read.facts
    assert USES - {"load", "calendars"} - read.facts.keys()


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"operation": "walk"}, "operation"),
        ({"jobs": {}}, "jobs"),
        ({"job": []}, "job"),
        ({"time": "today"}, "time"),
        ({"time": "2026-13-01T00:00:00Z"}, "time"),
        ({"load": 5}, "load"),
        ({"calendars": ["a", 5]}, "calendars[1]"),
    ],
)
def test_a_wrong_question_is_refused_with_the_path(document: dict[str, Json], path: str) -> None:
    with pytest.raises(PolicyError) as caught:
        question_from(document)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_the_policies_of_the_page_compile() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert compile_policy(policy_from(yaml.safe_load(block))).rules
