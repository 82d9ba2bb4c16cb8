"""When two JSON values are the same: 1 is 1.0, true is neither 1 nor "true", lists and maps element by element."""

from collections.abc import Hashable
from typing import TypeAlias

from services.policy.domain.policy import Json

Key: TypeAlias = Hashable


def key_of(value: Json) -> Key:
    """A hashable that is equal for the same values and no others, so that large lists are compared in linear time."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("list", tuple(map(key_of, value)))
    if isinstance(value, dict):
        return ("map", frozenset((name, key_of(inner)) for name, inner in value.items()))
    return value


def is_same(one: Json, other: Json) -> bool:
    """Whether two values are the same. Stops at the first difference."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(is_same(inner, other[name]) for name, inner in one.items())
        )
    return one == other
