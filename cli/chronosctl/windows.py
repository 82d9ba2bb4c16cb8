"""Windows as people write them on a command line: `MON-FRI@09:00-17:00`."""

import re

from cli.chronosctl.errors import UsageError

TIMES = re.compile(r"(\d{1,2}:\d{2}(?::\d{2})?)-(\d{1,2}:\d{2}(?::\d{2})?)")
DATES = re.compile(r"(\d{4}-\d{2}-\d{2})(?:/(\d{4}-\d{2}-\d{2}))?")
DAYS = re.compile(r"[A-Za-z0-7][A-Za-z0-7,-]*")
SHAPE = "DAYS, HH:MM-HH:MM and DATE/DATE, any of them, joined by @"
EXAMPLE = "MON-FRI@09:00-17:00 or 2026-12-24/2027-01-02"


def window(text: str, where: str) -> dict[str, str]:
    """The fields of the window that a text means: days, times of day and dates, joined by `@`, each at most once.

    A single date is its own last day. Raises UsageError that names `where` and the wrong part.
    """
    found: dict[str, str] = {}
    for part in text.strip().split("@"):
        fields = _fields(part.strip())
        if fields is None:
            raise UsageError(f"{where} {text!r}: cannot read {part!r}; write {SHAPE}, for example {EXAMPLE}")
        if twice := found.keys() & fields.keys():
            raise UsageError(f"{where} {text!r}: {part!r} gives {min(twice)} a second time; write {SHAPE}")
        found |= fields
    return found


def _fields(part: str) -> dict[str, str] | None:
    if match := TIMES.fullmatch(part):
        return {"start": match[1].zfill(5), "end": match[2].zfill(5)}
    if match := DATES.fullmatch(part):
        return {"first_date": match[1], "last_date": match[2] or match[1]}
    return {"days": part.upper()} if DAYS.fullmatch(part) else None
