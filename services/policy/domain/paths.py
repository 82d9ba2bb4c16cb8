"""Where in the facts a value stands: `webhook.url`, `active_windows[*].start`, `tags["cost.center"]`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from services.policy.domain.facts import ROOTS, Facts
from services.policy.domain.limits import MAX_PATH_CHARACTERS
from services.policy.domain.policy import Json

EVERY = None
"""The step `[*]`: each element of a list, each value of a map."""

Step: TypeAlias = str | int | None

_STEP = re.compile(
    r"""(?P<dot>\.)?(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|\[(?P<index>-?\d{1,9})\]|\[(?P<every>\*)\]"""
    r"""|\[(?P<quote>["'])(?P<key>[^"'\\]*)(?P=quote)\]"""
)


@dataclass(frozen=True, slots=True)
class Path:
    """A path that was read. Null is the same as what is not there: both are None."""

    root: str
    steps: tuple[Step, ...]
    text: str
    """As it was written."""

    @property
    def is_wild(self) -> bool:
        """Whether it may lead to several values."""
        return EVERY in self.steps

    def value(self, facts: Facts) -> Json:
        """What stands there. For a path without wildcards."""
        found = facts.get(self.root)
        for step in self.steps:
            found = _inside(found, step)
            if found is None:
                return None
        return found

    def values(self, facts: Facts) -> list[Json]:
        """What stands where a path with wildcards leads: at least one value. A wildcard over nothing finds one None."""
        found = [facts.get(self.root)]
        for step in self.steps:
            if step is EVERY:
                found = [inner for one in found for inner in _each(one)]
            else:
                found = [_inside(one, step) for one in found]
        return found

    def places(self, facts: Facts) -> Iterator[tuple[str, Json]]:
        """What `values` gives, each with the path that leads to it alone. The root `job` is not spelled out."""
        for taken, value in _led(facts.get(self.root), self.steps, 0):
            spelled = ("" if self.root == "job" else self.root) + "".join(map(_spelled, taken))
            yield spelled.removeprefix("."), value


def read_path(text: str) -> Path:
    """The path that a text means. Raises ValueError with a sentence."""
    if not text or len(text) > MAX_PATH_CHARACTERS:
        raise ValueError(f"a field has 1 to {MAX_PATH_CHARACTERS} characters")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None or (match["name"] and bool(match["dot"]) != (position > 0)):
            raise ValueError(
                f'"{text}" is no path: it is wrong at character {position + 1}; write names joined by dots, [0] for an '
                'element, [*] for each one, and ["..."] for a name with dots or other characters'
            )
        steps.append(_step(match))
        position = match.end()
    first = steps[0]
    if not isinstance(first, str):
        raise ValueError(f'"{text}" is no path: it begins with a name, for example job or webhook')
    return Path(first, tuple(steps[1:]), text) if first in ROOTS else Path("job", tuple(steps), text)


def _step(match: re.Match[str]) -> Step:
    if match["every"]:
        return EVERY
    if match["index"]:
        return int(match["index"])
    return match["name"] or match["key"] or ""


def _inside(value: Json, step: Step) -> Json:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    if isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
        return value[step]
    return None


def _each(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values()) or [None]
    return value or [None] if isinstance(value, list) else [None]


def _led(value: Json, steps: tuple[Step, ...], begin: int) -> Iterator[tuple[tuple[Step, ...], Json]]:
    """What steps lead to, from one of them on, with the steps that were taken."""
    for place in range(begin, len(steps)):
        if steps[place] is EVERY:
            for key, inner in _entries(value):
                yield from (((*steps[begin:place], key, *rest), one) for rest, one in _led(inner, steps, place + 1))
            return
        value = _inside(value, steps[place])
    yield steps[begin:], value


def _entries(value: Json) -> list[tuple[Step, Json]]:
    if isinstance(value, dict) and value:
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) and value else [(EVERY, None)]


def _spelled(step: Step) -> str:
    if step is EVERY:
        return "[*]"
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", step) else f'["{step}"]'
