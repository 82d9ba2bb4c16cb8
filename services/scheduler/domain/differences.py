"""What differs between two nested values, field by field."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from libs.redaction import MASK

PLACE = re.compile(r"\[\d+\]")
PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ABSENT: Any = object()


class DifferenceKind(StrEnum):
    """How a field differs."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that differs. The values are JSON; empty on the side that does not have the field."""

    path: str
    kind: DifferenceKind
    old: str
    new: str


def differences(old: Mapping[str, Any], new: Mapping[str, Any], *, secrets: Set[str] = frozenset()) -> list[Difference]:
    """The leaves that differ between two trees of mappings, sequences and plain values, ordered by path.

    Paths look like `webhook.url`, `active_windows[0].start` and, for keys that are no plain names,
    `tags["app.kubernetes.io/name"]`. Elements of sequences are compared place by place. Values at the paths in
    `secrets`, which count without such places, are compared and not shown.
    """
    return list(_walk("", old, new, secrets))


def _walk(path: str, old: Any, new: Any, secrets: Set[str]) -> Iterator[Difference]:
    if old == new:
        return
    branches = _branches(old, new)
    if branches is None:
        yield from _leaves(path, old, new, secrets)
        return
    for step, before, after in branches:
        yield from _walk((path + step).removeprefix("."), before, after, secrets)


def _branches(old: Any, new: Any) -> list[tuple[str, Any, Any]] | None:
    """What lies below two values of one kind, of which one may be absent; None when nothing does."""
    sides = [side for side in (old, new) if side is not _ABSENT]
    if not any(sides):
        return None
    if all(isinstance(side, Mapping) for side in sides):
        names = sorted(set().union(*sides))
        return [(_step(name), _item(old, name), _item(new, name)) for name in names]
    if all(_is_list(side) for side in sides):
        places = range(max(map(len, sides)))
        return [(f"[{place}]", _element(old, place), _element(new, place)) for place in places]
    return None


def _leaves(path: str, old: Any, new: Any, secrets: Set[str]) -> Iterator[Difference]:
    if old is _ABSENT:
        kind = DifferenceKind.ADDED
    elif new is _ABSENT:
        kind = DifferenceKind.REMOVED
    else:
        kind = DifferenceKind.MODIFIED
    is_secret = PLACE.sub("", path) in secrets
    yield Difference(path=path, kind=kind, old=_shown(old, is_secret), new=_shown(new, is_secret))


def _shown(value: Any, is_secret: bool) -> str:
    if value is _ABSENT:
        return ""
    return json.dumps(MASK if is_secret else value, ensure_ascii=False, sort_keys=True)


def _step(name: str) -> str:
    return f".{name}" if PLAIN_KEY.fullmatch(name) else f"[{json.dumps(name, ensure_ascii=False)}]"


def _item(side: Any, name: str) -> Any:
    return _ABSENT if side is _ABSENT else side.get(name, _ABSENT)


def _element(side: Any, place: int) -> Any:
    return _ABSENT if side is _ABSENT or place >= len(side) else side[place]


def _is_list(side: Any) -> bool:
    return isinstance(side, Sequence) and not isinstance(side, str)
