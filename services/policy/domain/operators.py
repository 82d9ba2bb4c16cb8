"""The operators: what each says of one value, None standing for what is not there."""

from collections.abc import Callable
from typing import TypeAlias

from services.policy.domain.equality import is_same, key_of
from services.policy.domain.magnitudes import Magnitude, kind_of, magnitude_of
from services.policy.domain.patterns import searcher
from services.policy.domain.policy import Json

Check: TypeAlias = Callable[[Json], bool | None]
"""Whether an operator holds for a value; None when that would take too long to tell. Never raises."""

ALIASES = {
    "regex_matches": "matches",
    "greater_than_or_equal": "greater_or_equal",
    "less_than_or_equal": "less_or_equal",
    "eq": "equals",
    "ne": "not_equals",
    "gt": "greater_than",
    "gte": "greater_or_equal",
    "lt": "less_than",
    "lte": "less_or_equal",
}
NEGATIONS = {
    "not_equals": "equals",
    "not_contains": "contains",
    "not_in": "in",
    "not_exists": "exists",
    "is_not_empty": "is_empty",
}
"""Operators that hold exactly where another one does not."""
VALUELESS = frozenset({"exists", "not_exists", "is_empty", "is_not_empty"})


def canonical(operator: str) -> str:
    """The operator that a name or an alias means; the text itself when it means none."""
    return ALIASES.get(operator, operator)


def check_of(operator: str, value: Json) -> Check:
    """The check of a canonical operator. Raises ValueError with a sentence when the value does not suit it."""
    if operator in NEGATIONS:
        return _negated(check_of(NEGATIONS[operator], value))
    return BUILDERS[operator](value)


def _negated(check: Check) -> Check:
    def is_not(found: Json) -> bool | None:
        held = check(found)
        return None if held is None else not held

    return is_not


def _equals(value: Json) -> Check:
    if isinstance(value, str):
        return lambda found: found == value
    return lambda found: found is not None and is_same(found, value)


def _contains(value: Json) -> Check:
    def contains(found: Json) -> bool:
        if isinstance(found, list):
            return any(is_same(element, value) for element in found)
        return isinstance(value, str) and isinstance(found, (str, dict)) and value in found

    return contains


def _starts_with(value: Json) -> Check:
    prefix = _text(value)
    return lambda found: isinstance(found, str) and found.startswith(prefix)


def _ends_with(value: Json) -> Check:
    suffix = _text(value)
    return lambda found: isinstance(found, str) and found.endswith(suffix)


def _matches(value: Json) -> Check:
    find = searcher(_text(value)).find
    return lambda found: find(found) if isinstance(found, str) else False


def _in(value: Json) -> Check:
    if not isinstance(value, list):
        raise ValueError("it must be a list")
    keys = frozenset(map(key_of, value))

    def is_in(found: Json) -> bool:
        if isinstance(found, list):
            return all(key_of(element) in keys for element in found)
        return found is not None and key_of(found) in keys

    return is_in


def _ordered(holds: Callable[[Magnitude, Magnitude], bool]) -> Callable[[Json], Check]:
    def build(value: Json) -> Check:
        bound = magnitude_of(value)
        if bound is None:
            raise ValueError("it must be a number, a duration like 300s or 1h30m, or a time like 2026-03-01T09:00:00Z")
        kind = kind_of(bound)

        def compare(found: Json) -> bool:
            magnitude = magnitude_of(found)
            return magnitude is not None and kind_of(magnitude) is kind and holds(magnitude, bound)

        return compare

    return build


def _exists(_value: Json) -> Check:
    return lambda found: found is not None


def _is_empty(_value: Json) -> Check:
    return lambda found: found is None or (isinstance(found, (str, list, dict)) and not found)


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    return value


BUILDERS: dict[str, Callable[[Json], Check]] = {
    "equals": _equals,
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "matches": _matches,
    "in": _in,
    "greater_than": _ordered(lambda one, other: one > other),  # type: ignore[operator]
    "greater_or_equal": _ordered(lambda one, other: one >= other),  # type: ignore[operator]
    "less_than": _ordered(lambda one, other: one < other),  # type: ignore[operator]
    "less_or_equal": _ordered(lambda one, other: one <= other),  # type: ignore[operator]
    "exists": _exists,
    "is_empty": _is_empty,
}
OPERATORS = frozenset(BUILDERS) | frozenset(NEGATIONS)
"""All 17, by their canonical names."""
