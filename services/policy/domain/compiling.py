"""Compiles the conditions of a policy, and gathers what is wrong with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from services.policy.domain.conditions import Node, expression_node, group_node, test_node
from services.policy.domain.expressions import Program
from services.policy.domain.limits import MAX_CONDITION_DEPTH, MAX_NODES, TooLarge, measure
from services.policy.domain.operators import OPERATORS, VALUELESS, canonical, check_of
from services.policy.domain.paths import read_path
from services.policy.domain.policy import AllOf, AnyOf, Condition, Expression, Json, Not, Test
from services.policy.domain.problems import Problem

T = TypeVar("T")


@dataclass(slots=True)
class Compiler:
    """Compiles the conditions of one policy, and gathers what is wrong with it."""

    parameters: Mapping[str, Json]
    problems: list[Problem] = field(default_factory=list)
    node_count: int = 0

    def fault(self, path: str, description: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(path, description))

    def compile(self, condition: Condition, path: str, depth: int = 1) -> Node | None:
        """The node of a condition; None when it, or one inside it, means nothing, which is noted."""
        self.node_count += 1
        if self.node_count == MAX_NODES + 1:
            self.fault(path, f"a policy has at most {MAX_NODES:,} conditions; spread them over several policies")
        if self.node_count > MAX_NODES:
            return None
        if depth > MAX_CONDITION_DEPTH:
            self.fault(path, f"conditions are nested at most {MAX_CONDITION_DEPTH} deep")
            return None
        match condition:
            case AllOf():
                return self._group("and", condition.conditions, path, depth)
            case AnyOf():
                return self._group("or", condition.conditions, path, depth)
            case Not():
                inner = self.compile(condition.condition, f"{path}.not", depth + 1)
                return None if inner is None else group_node("not", (inner,))
            case Expression():
                program = self._tried(f"{path}.expression", lambda: Program(condition.text))
                return None if program is None else expression_node(program)
            case Test():
                return self._test(condition, path)

    def _group(self, word: str, conditions: tuple[Condition, ...], path: str, depth: int) -> Node | None:
        if not conditions:
            self.fault(f"{path}.{word}", "it has at least one condition")
            return None
        nodes = [self.compile(one, f"{path}.{word}[{place}]", depth + 1) for place, one in enumerate(conditions)]
        return group_node(word, tuple(node for node in nodes if node is not None)) if all(nodes) else None

    def _test(self, test: Test, path: str) -> Node | None:
        where = self._tried(f"{path}.field", lambda: read_path(test.field))
        operator = canonical(test.operator)
        if operator not in OPERATORS:
            names = ", ".join(sorted(OPERATORS))
            self.fault(f"{path}.operator", f'there is no operator "{test.operator}"; there are {names}')
            return None
        is_valued, value, place = self._value(test, operator, path)
        if not is_valued:
            return None
        check = self._tried(place, lambda: check_of(operator, value), f"{operator}: ")
        return None if where is None or check is None else test_node(where, operator, value, check)

    def _value(self, test: Test, operator: str, path: str) -> tuple[bool, Json, str]:
        """Whether there is a value that can be compared with, the value, and where it was written."""
        place = f"{path}.parameter" if test.parameter else f"{path}.value"
        if operator in VALUELESS:
            if test.parameter or test.value is not None:
                self.fault(place, f"{operator} takes no value; leave it out")
            return not test.parameter and test.value is None, None, place
        if test.parameter and test.value is not None:
            self.fault(place, "give a value or a parameter, not both")
            return False, None, place
        if test.parameter and test.parameter not in self.parameters:
            known = ", ".join(sorted(self.parameters)) or "none"
            self.fault(place, f'the policy has no parameter "{test.parameter}"; its parameters: {known}')
            return False, None, place
        value = self.parameters[test.parameter] if test.parameter else test.value
        if value is None:
            self.fault(place, f"{operator} needs a value; whether something is there, exists and not_exists say")
            return False, None, place
        return self.measured(place, value), value, place

    def measured(self, path: str, value: Json) -> bool:
        """Whether a value is small enough to be compared with. That it is not is noted."""
        try:
            measure(value)
        except TooLarge as error:
            self.fault(path, f"the value is too large: {error}")
            return False
        return True

    def _tried(self, path: str, make: Callable[[], T], before: str = "") -> T | None:
        try:
            return make()
        except ValueError as error:
            self.fault(path, f"{before}{error}")
            return None
