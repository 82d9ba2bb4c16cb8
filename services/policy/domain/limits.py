"""What policies and facts may cost, so that no rule and no job can keep a replica busy."""

from typing import NamedTuple

from services.policy.domain.policy import Json

MAX_RULES = 1000
MAX_NODES = 1000
"""Conditions of one policy, with those inside others."""
MAX_CONDITION_DEPTH = 16
MAX_PATH_CHARACTERS = 256
MAX_PATTERN_CHARACTERS = 1000
MAX_PATTERN_BYTES = 1 << 20
"""Memory of one compiled regular expression."""
MAX_SEARCH_STEPS = 10_000_000
"""Instructions of a regular expression times bytes of the text: about a tenth of a second."""
MAX_EXPRESSION_CHARACTERS = 2000
MAX_EXPRESSION_DEPTH = 32
"""Brackets in brackets."""
MAX_MACRO_DEPTH = 2
MAX_EXPRESSION_COST = 100_000
MAX_LIST_ELEMENTS = 10_000
MAX_VALUES = 20_000
MAX_FACT_BYTES = 1 << 20
MAX_DEPTH = 32


class Extent(NamedTuple):
    """How large facts, or a value, are."""

    longest: int = 0
    """Elements of the longest list or map."""
    longest_text: int = 0
    """Characters of the longest text."""
    values: int = 0
    """All values, with those inside lists and maps."""


class TooLarge(ValueError):
    """Facts, or a value, that nothing is compared with. Its text says which bound."""


def measure(value: Json) -> Extent:
    """How large a value is. Raises TooLarge beyond the bounds, before it costs more than reading that much."""
    longest = longest_text = values = size = 0
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH + 1):
        values += len(level)
        below: list[Json] = []
        for one in level:
            if isinstance(one, str):
                size += _bytes_of(one)
                longest_text = max(longest_text, len(one))
            elif isinstance(one, (dict, list)):
                _require(len(one) <= MAX_LIST_ELEMENTS, f"a list or map has more than {MAX_LIST_ELEMENTS:,} elements")
                size += 2 * len(one) + (sum(map(_bytes_of, one)) if isinstance(one, dict) else 0)
                longest = max(longest, len(one))
                below.extend(one.values() if isinstance(one, dict) else one)
                _require(values + len(below) <= MAX_VALUES, f"there are more than {MAX_VALUES:,} values")
            else:
                size += 4
        _require(size <= MAX_FACT_BYTES, f"they are larger than {MAX_FACT_BYTES >> 20} MiB")
        if not below:
            return Extent(longest, longest_text, values)
        level = below
    raise TooLarge(f"lists and maps are nested deeper than {MAX_DEPTH}")


def _require(is_within: bool, excess: str) -> None:
    if not is_within:
        raise TooLarge(excess)


def _bytes_of(text: str) -> int:
    return len(text) + 2 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) + 2
