"""Policies as values: what somebody wrote, before it is known to mean anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Type(StrEnum):
    """What a policy judges."""

    JOB = "job"
    EXECUTION = "execution"
    CLUSTER = "cluster"


class Severity(StrEnum):
    """How bad it is when a rule is broken. Only shown: what happens is up to the action."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Action(StrEnum):
    """What a rule does: ALLOW when its condition holds, the others when it does not."""

    ALLOW = "allow"
    DENY = "deny"
    WARN = "warn"
    AUDIT = "audit"


class Operation(StrEnum):
    """What somebody, or the clock, is about to do."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ENABLE = "enable"
    RUN = "run"
    TRIGGER = "trigger"
    REPLAY = "replay"
    BACKFILL = "backfill"
    CALENDAR = "calendar"
    NAMESPACE = "namespace"


OPERATIONS: Mapping[Type, frozenset[Operation]] = {
    Type.JOB: frozenset({Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.ENABLE}),
    Type.EXECUTION: frozenset({Operation.RUN, Operation.TRIGGER, Operation.REPLAY, Operation.BACKFILL}),
    Type.CLUSTER: frozenset({Operation.CALENDAR, Operation.NAMESPACE}),
}
"""What each type judges."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when all of its conditions do. At least one."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when one of its conditions does. At least one."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Holds when its condition does not."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Test:
    """Compares what stands at a path with a value, or with a parameter of the policy."""

    __test__: ClassVar = False  # pytest takes a class of this name for tests

    field: str
    operator: str
    value: Json = None
    """None means that it is not given: null is never compared with."""
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class Expression:
    """Holds when a text in CEL gives true."""

    text: str


Condition: TypeAlias = AllOf | AnyOf | Not | Test | Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that must hold; of an ALLOW rule, what is enough."""

    id: str
    name: str
    condition: Condition
    message: str = ""
    """What whoever breaks it is told. Empty means what the condition says."""
    action: Action | None = None
    """None means what the policy says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules, and what they apply to. What is empty leaves nothing out."""

    id: str
    name: str
    version: int = 1
    type: Type = Type.JOB
    is_enabled: bool = True
    priority: int = 0
    severity: Severity = Severity.ERROR
    action: Action = Action.DENY
    rules: tuple[Rule, ...] = ()
    namespaces: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    """Only jobs with all of these; an empty value means any value."""
    operations: frozenset[Operation] = frozenset()
    """Empty means all of its type."""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    timezone: str = ""
    """Of `now`. Empty means the job's, else UTC."""


def applies(policy: Policy, operation: Operation, namespace: str, tags: Mapping[str, str]) -> bool:
    """Whether a policy, if enabled, judges an operation on a job with these tags (none, where it is about no job)."""
    return is_for(policy, operation, namespace) and has_tags(policy, tags)


def is_for(policy: Policy, operation: Operation, namespace: str) -> bool:
    """Whether a policy judges an operation in a namespace, whatever the tags."""
    return operation in (policy.operations or OPERATIONS[policy.type]) and (
        not policy.namespaces or namespace in policy.namespaces
    )


def has_tags(policy: Policy, tags: Mapping[str, object]) -> bool:
    """Whether tags are such that a policy judges the job that has them."""
    return all(key in tags and value in ("", tags[key]) for key, value in policy.tags.items())
