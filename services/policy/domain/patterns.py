"""Regular expressions that run in linear time (RE2), and no longer than is good."""

from functools import lru_cache

import re2

from services.policy.domain.limits import MAX_PATTERN_BYTES, MAX_PATTERN_CHARACTERS, MAX_SEARCH_STEPS


class Search:
    """A regular expression that was compiled."""

    def __init__(self, pattern: str) -> None:
        """Raises ValueError with a sentence when it is none."""
        if len(pattern) > MAX_PATTERN_CHARACTERS:
            raise ValueError(f"a regular expression has at most {MAX_PATTERN_CHARACTERS:,} characters")
        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        options.max_mem = MAX_PATTERN_BYTES
        try:
            compiled = re2.compile(pattern.encode(), options)
        except (re2.error, UnicodeEncodeError) as error:
            raise ValueError(f'"{pattern}" is no regular expression (RE2): {_words(error)}') from None
        self._instructions: int = max(compiled.programsize, 1)
        self._longest = MAX_SEARCH_STEPS // self._instructions
        self._search = compiled.search

    def steps(self, text: str) -> int:
        """How many instructions a search takes at most, where a character is a byte."""
        return self._instructions * len(text)

    def find(self, text: str) -> bool | None:
        """Whether it is found anywhere in a text; None when that would take too long."""
        encoded = text.encode("utf-8", "replace")
        if len(encoded) > self._longest:
            return None
        return self._search(encoded) is not None


searcher = lru_cache(maxsize=1024)(Search)
"""The search of a pattern, compiled once. Raises as Search does."""


def _words(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(error)
