"""Conditions as functions of the facts.

A condition holds, does not hold, or is not known to do either (None): an expression that fails, a regular expression
that would take too long. As in CEL and SQL, `not` leaves the unknown unknown, `and` is false if one part is, `or` is
true if one part is. A rule holds only if its condition is known to, so that what cannot be told refuses.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from services.policy.domain.expressions import Program
from services.policy.domain.facts import Facts
from services.policy.domain.operators import Check
from services.policy.domain.paths import Path
from services.policy.domain.policy import Json

Holds: TypeAlias = Callable[[Facts], bool | None]


@dataclass(frozen=True, slots=True)
class TestNode:
    """An operator at a path."""

    path: Path
    operator: str
    value: Json
    check: Check
    holds: Holds


@dataclass(frozen=True, slots=True)
class ExpressionNode:
    """An expression in CEL."""

    program: Program
    holds: Holds


@dataclass(frozen=True, slots=True)
class GroupNode:
    """`and`, `or` or `not` over others."""

    word: str
    nodes: "tuple[Node, ...]"
    holds: Holds


Node: TypeAlias = TestNode | ExpressionNode | GroupNode


def test_node(path: Path, operator: str, value: Json, check: Check) -> TestNode:
    """A test: over a wildcard it must hold for each value, and `exists` for one of them."""
    return TestNode(path, operator, value, check, _tested(path, operator, check))


def expression_node(program: Program) -> ExpressionNode:
    """An expression."""
    return ExpressionNode(program, program.holds)


def group_node(word: str, nodes: tuple[Node, ...]) -> GroupNode:
    """`and`, `or` (of at least one) or `not` (of exactly one)."""
    parts = tuple(node.holds for node in nodes)
    if word == "not":
        return GroupNode(word, nodes, _not(parts[0]))
    return GroupNode(word, nodes, _all(parts) if word == "and" else _any(parts))


def nodes_within(node: Node) -> Iterator[Node]:
    """A node and all those in it."""
    yield node
    if isinstance(node, GroupNode):
        for inner in node.nodes:
            yield from nodes_within(inner)


def _tested(path: Path, operator: str, check: Check) -> Holds:
    if not path.is_wild:
        return _tested_once(path, check)
    if operator == "exists":
        return lambda facts: any(map(check, path.values(facts)))

    def holds(facts: Facts) -> bool | None:
        is_known = True
        for value in path.values(facts):
            outcome = check(value)
            if outcome is None:
                is_known = False
            elif not outcome:
                return False
        return True if is_known else None

    return holds


def _tested_once(path: Path, check: Check) -> Holds:
    root, steps = path.root, path.steps
    if not all(isinstance(step, str) for step in steps):
        return lambda facts: check(path.value(facts))

    # The hot path: most rules are one operator at names alone.
    def holds(facts: Facts) -> bool | None:
        found = facts.get(root)
        for step in steps:
            if not isinstance(found, dict):
                return check(None)
            found = found.get(step)  # type: ignore[arg-type]
        return check(found)

    return holds


def _all(parts: tuple[Holds, ...]) -> Holds:
    def holds(facts: Facts) -> bool | None:
        is_known = True
        for part in parts:
            outcome = part(facts)
            if outcome is None:
                is_known = False
            elif not outcome:
                return False
        return True if is_known else None

    return holds


def _any(parts: tuple[Holds, ...]) -> Holds:
    def holds(facts: Facts) -> bool | None:
        is_known = True
        for part in parts:
            outcome = part(facts)
            if outcome:
                return True
            is_known = is_known and outcome is not None
        return False if is_known else None

    return holds


def _not(part: Holds) -> Holds:
    def holds(facts: Facts) -> bool | None:
        outcome = part(facts)
        return None if outcome is None else not outcome

    return holds
