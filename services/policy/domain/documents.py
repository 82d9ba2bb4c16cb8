"""Policies and questions as REST and YAML show them, read into values: the one reading that there is."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from libs.names import slug
from services.policy.domain.facts import ROOTS
from services.policy.domain.judging import Question
from services.policy.domain.limits import MAX_CONDITION_DEPTH
from services.policy.domain.magnitudes import RFC_3339
from services.policy.domain.operators import canonical
from services.policy.domain.policy import (
    Action,
    AllOf,
    AnyOf,
    Condition,
    Expression,
    Json,
    Not,
    Operation,
    Policy,
    Rule,
    Severity,
    Test,
    Type,
)
from services.policy.domain.reading import Reader

E = TypeVar("E", bound=StrEnum)
POLICY_FIELDS = frozenset(
    {"id", "name", "description", "type", "enabled", "priority", "severity", "action", "rules", "namespaces", "tags"}
    | {"operations", "parameters", "timezone", "created_at", "updated_at", "updated_by", "version", "etag"}
)
RULE_FIELDS = frozenset({"id", "name", "description", "condition", "message", "action"})
CONDITION_FIELDS = frozenset({"and", "or", "not", "field", "operator", "value", "parameter", "expression"})
QUESTION_FIELDS = (ROOTS - {"now", "params"}) | {"time", "timezone"}
NOTHING = Expression("")
"""Stands for a condition that could not be read."""


def policy_from(document: Mapping[str, Json]) -> Policy:
    """The policy of a document: names and enum values of policy.proto, enum values in any case, aliases of operators
    made canonical, ids that are missing made of names. Raises PolicyError with every fault and its path.
    """
    reader = Reader()
    reader.known(document, POLICY_FIELDS, "")
    name = reader.text(document, "name", "")
    policy = Policy(
        id=reader.text(document, "id", "") or slug(name),
        name=name,
        version=reader.integer(document, "version", "", 1),
        type=_enum(reader, document, "type", "", Type) or Type.JOB,
        is_enabled=reader.boolean(document, "enabled", "", default=True),
        priority=reader.integer(document, "priority", "", 0),
        severity=_enum(reader, document, "severity", "", Severity) or Severity.ERROR,
        action=_enum(reader, document, "action", "", Action) or Action.DENY,
        rules=tuple(_rule(reader, rule, path) for rule, path in reader.maps(document, "rules", "")),
        namespaces=frozenset(reader.texts(document, "namespaces", "")),
        tags=reader.text_map(document, "tags", ""),
        operations=frozenset(_operations(reader, document)),
        parameters=reader.map(document, "parameters", ""),
        timezone=reader.text(document, "timezone", ""),
    )
    if not name:
        reader.fault("name", "a policy has a name")
    reader.finish()
    return policy


def question_from(document: Mapping[str, Json]) -> Question:
    """The question of a test: an operation, a time (RFC 3339; the beginning of 2026 where there is none), and facts.
    Raises PolicyError with every fault and its path.
    """
    reader = Reader()
    reader.known(document, QUESTION_FIELDS, "")
    operation = _enum(reader, document, "operation", "", Operation)
    job = reader.map(document, "job", "")
    given = {root: document[root] for root in ROOTS & document.keys() if document[root] is not None}
    caller = given.get("caller")
    question = Question(
        operation=operation or Operation.CREATE,
        namespace=reader.text(document, "namespace", "") or str(job.get("namespace") or "default"),
        facts=given | ({"caller": {"id": caller, "permissions": []}} if isinstance(caller, str) else {}),
        time=_time(reader, document),
        timezone=reader.text(document, "timezone", "") or str(job.get("timezone") or ""),
    )
    for root in sorted({"before", "timing", "endpoint", "load", "extent"} & document.keys()):
        reader.map(document, root, "")
    reader.texts(document, "calendars", "")
    reader.finish()
    return question


def _rule(reader: Reader, document: Mapping[str, Json], path: str) -> Rule:
    reader.known(document, RULE_FIELDS, path)
    name = reader.text(document, "name", path)
    if not name:
        reader.fault(f"{path}.name", "a rule has a name")
    condition = reader.map(document, "condition", path)
    if not condition:
        reader.fault(f"{path}.condition", "a rule has a condition: what must hold")
    return Rule(
        id=reader.text(document, "id", path) or slug(name),
        name=name,
        condition=_condition(reader, condition, f"{path}.condition", 1) if condition else NOTHING,
        message=reader.text(document, "message", path),
        action=_enum(reader, document, "action", path, Action),
    )


def _condition(reader: Reader, document: Mapping[str, Json], path: str, depth: int) -> Condition:
    """A node: exactly one of the five kinds."""
    reader.known(document, CONDITION_FIELDS, path)
    if depth > MAX_CONDITION_DEPTH:
        reader.fault(path, f"conditions are nested at most {MAX_CONDITION_DEPTH} deep")
        return NOTHING
    given = [kind for kind in ("and", "or", "not", "expression", "field") if document.get(kind) not in (None, "")]
    if "field" not in given and any(document.get(key) not in (None, "") for key in ("operator", "value", "parameter")):
        given.append("operator")
    if len(given) != 1 or given == ["operator"]:
        found = f"; here there are {' and '.join(given)}" if len(given) > 1 else ""
        reader.fault(path, f"it has exactly one of and, or, not, expression, or a field with its operator{found}")
        return NOTHING
    return READERS[given[0]](reader, document, path, depth)


def _group(kind: str, make: Callable[[tuple[Condition, ...]], Condition]) -> "ConditionReader":
    def read(reader: Reader, document: Mapping[str, Json], path: str, depth: int) -> Condition:
        inner = reader.maps(document, kind, path)
        return make(tuple(_condition(reader, one, where, depth + 1) for one, where in inner))

    return read


def _not(reader: Reader, document: Mapping[str, Json], path: str, depth: int) -> Condition:
    return Not(_condition(reader, reader.map(document, "not", path), f"{path}.not", depth + 1))


def _expression(reader: Reader, document: Mapping[str, Json], path: str, _depth: int) -> Condition:
    return Expression(reader.text(document, "expression", path))


def _test(reader: Reader, document: Mapping[str, Json], path: str, _depth: int) -> Condition:
    return Test(
        field=reader.text(document, "field", path),
        operator=canonical(reader.text(document, "operator", path)),
        value=document.get("value"),
        parameter=reader.text(document, "parameter", path),
    )


ConditionReader = Callable[[Reader, Mapping[str, Json], str, int], Condition]
READERS: dict[str, ConditionReader] = {
    "and": _group("and", AllOf),
    "or": _group("or", AnyOf),
    "not": _not,
    "expression": _expression,
    "field": _test,
}


def _operations(reader: Reader, document: Mapping[str, Json]) -> list[Operation]:
    places = enumerate(reader.texts(document, "operations", ""))
    found = [_enum(reader, {"": text}, "", f"operations[{place}]", Operation) for place, text in places]
    return [operation for operation in found if operation]


def _enum(reader: Reader, document: Mapping[str, Json], key: str, path: str, kind: type[E]) -> E | None:
    """A value of an enum in any case; None when it is not given, or UNSPECIFIED."""
    text = reader.text(document, key, path).lower()
    if not text or text.endswith("_unspecified"):
        return None
    for value in kind:
        if value == text:
            return value
    where = ".".join(filter(None, (path, key)))
    reader.fault(where, f'"{text}" is none of {", ".join(kind)}')
    return None


def _time(reader: Reader, document: Mapping[str, Json]) -> datetime:
    text = reader.text(document, "time", "") or "2026-01-01T00:00:00Z"
    try:
        if RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    reader.fault("time", f'"{text}" is no time; write one like 2026-03-01T09:00:00Z')
    return datetime.fromisoformat("2026-01-01T00:00:00+00:00")
