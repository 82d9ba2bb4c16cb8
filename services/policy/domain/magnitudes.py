"""What can be more or less than something else: numbers, durations, and times."""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

from libs.durations import parse_duration
from services.policy.domain.policy import Json

Magnitude: TypeAlias = int | float | timedelta | datetime
LONGEST_TEXT = 64
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def magnitude_of(value: Json) -> Magnitude | None:
    """The number, the duration (`300s`, `1h30m`) or the RFC 3339 time that a value is; None for anything else."""
    if isinstance(value, (int, float)):
        return None if isinstance(value, bool) else value
    if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT:
        return None
    return _read(value)


@lru_cache(maxsize=1024)
def _read(text: str) -> timedelta | datetime | None:
    try:
        return datetime.fromisoformat(text.upper()) if RFC_3339.fullmatch(text) else parse_duration(text)
    except (ValueError, OverflowError):
        return None


def kind_of(magnitude: Magnitude) -> type:
    """What a magnitude can be compared with: others of the same kind."""
    return type(magnitude) if isinstance(magnitude, (timedelta, datetime)) else float
