"""The filter of ListJobs: `enabled = true AND tags.team = "x"`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

TERM = re.compile(
    r"""\s*(?:(?P<enabled>enabled)\s*=\s*(?P<flag>true|false)
         |tags\.(?P<key>[A-Za-z0-9._/-]+)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+)))\s*""",
    re.VERBOSE,
)
JOIN = re.compile(r"AND\s", re.IGNORECASE)


class FilterError(ValueError):
    """A filter that cannot be read; the text says how to write one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are wanted. All conditions hold together."""

    enabled: bool | None
    tags: Mapping[str, str]
    is_contradiction: bool = False

    def matches(self, *, is_enabled: bool, tags: Mapping[str, str]) -> bool:
        """Whether a job is wanted."""
        if self.is_contradiction or self.enabled not in (None, is_enabled):
            return False
        return all(tags.get(key) == value for key, value in self.tags.items())


def parse_filter(text: str) -> JobFilter:
    """The filter that `text` means; the empty text wants every job. Raises FilterError with the position."""
    enabled: bool | None = None
    tags: dict[str, str] = {}
    is_contradiction = False
    position = 0
    while text.strip():
        term = TERM.match(text, position)
        if term is None:
            raise FilterError(
                f"cannot be read at position {position + 1}; "
                'write terms such as enabled = true or tags.team = "x", joined by AND'
            )
        if term["enabled"]:
            is_contradiction |= enabled not in (None, term["flag"] == "true")
            enabled = term["flag"] == "true"
        else:
            value = term["quoted"] if term["quoted"] is not None else term["bare"]
            is_contradiction |= tags.get(term["key"], value) != value
            tags[term["key"]] = value
        position = term.end()
        if position == len(text):
            break
        join = JOIN.match(text, position)
        if join is None:
            raise FilterError(f"has no AND between its terms at position {position + 1}")
        position = join.end()
    return JobFilter(enabled=enabled, tags=tags, is_contradiction=is_contradiction)
