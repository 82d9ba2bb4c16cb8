"""Spans of time as people write them: `90s`, `5m`, `1h30m`, `1.5h`, `250ms`."""

import re
from datetime import timedelta

UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
TERM = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)")


def parse_duration(text: str) -> timedelta:
    """The span that `text` means. Raises ValueError with a sentence that shows how to write one."""
    terms = list(TERM.finditer(text))
    if not terms or "".join(term.group(0) for term in terms) != text:
        raise ValueError(f'"{text}" is not a duration; write numbers with units, for example 90s, 5m or 1h30m')
    try:
        return sum((float(term.group(1)) * UNITS[term.group(2)] for term in terms), timedelta(0))
    except OverflowError as error:
        raise ValueError(f'"{text}" is too long') from error


def format_duration(span: timedelta) -> str:
    """The shortest common spelling: 5400 s gives `1h30m`, 250 ms gives `250ms`, nothing gives `0s`."""
    left, text = abs(span), ""
    for unit in ("h", "m", "s", "ms", "us"):
        count, left = divmod(left, UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return ("-" if span < timedelta(0) else "") + (text or "0s")
