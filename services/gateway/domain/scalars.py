"""Single JSON values against the kinds of protobuf: what each kind takes, and how to write it."""

import base64
import binascii
import difflib
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from libs.durations import parse_duration
from services.gateway.domain.json_text import JsonObject, JsonValue
from services.gateway.domain.shapes import Kind

RANGES = {
    Kind.INT32: (-(2**31), 2**31 - 1),
    Kind.INT64: (-(2**63), 2**63 - 1),
    Kind.UINT32: (0, 2**32 - 1),
    Kind.UINT64: (0, 2**64 - 1),
}
LARGEST_FLOAT = 3.4028235677973366e38
LONGEST_SPAN_SECONDS = 315_576_000_000
INTEGER = re.compile(r"-?(0|[1-9]\d{0,19})")
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
NOT_FINITE = {"NaN", "Infinity", "-Infinity"}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
DURATION = re.compile(r"-?(\d{1,12})(\.\d{1,9})?s")
FIELD_MASK = re.compile(r"([A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(,|$))*")


def json_type(value: JsonValue) -> str:
    """What a person calls the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case JsonObject():
            return "an object"
        case list():
            return "a list"


def problem_of(kind: Kind, value: JsonValue, enum: Mapping[str, int]) -> str:
    """What is wrong with a value of that kind, as a sentence's end; empty when nothing is."""
    if kind is Kind.ENUM:
        return _enum(value, enum)
    return CHECKS[kind](value)


def _string(value: JsonValue) -> str:
    return "" if isinstance(value, str) else f"must be a string, not {json_type(value)}"


def _bool(value: JsonValue) -> str:
    return "" if isinstance(value, bool) else f"must be true or false without quotes, not {json_type(value)}"


def _integer(kind: Kind) -> Callable[[JsonValue], str]:
    least, most = RANGES[kind]

    def check(value: JsonValue) -> str:
        if isinstance(value, str) and INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a whole number, not {json_type(value)}"
        if isinstance(value, float) and not value.is_integer():
            return "must be a whole number, without a fraction"
        return "" if least <= value <= most else f"must be from {least} to {most}"

    return check


def _number(largest: float) -> Callable[[JsonValue], str]:
    def check(value: JsonValue) -> str:
        if isinstance(value, str) and value in NOT_FINITE:
            return ""
        if isinstance(value, str) and NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a number, not {json_type(value)}"
        try:
            is_finite = math.isfinite(value) and abs(float(value)) <= largest
        except OverflowError:
            is_finite = False
        return "" if is_finite else "is too large a number"

    return check


def _bytes(value: JsonValue) -> str:
    if not isinstance(value, str):
        return f"must be a string of base64, not {json_type(value)}"
    try:
        base64.b64decode(value.rstrip("=").translate(str.maketrans("-_", "+/")) + "=" * (-len(value.rstrip("=")) % 4),
                         validate=True)  # fmt: skip
    except (binascii.Error, ValueError):
        return "is not base64"
    return ""


def _enum(value: JsonValue, names: Mapping[str, int]) -> str:
    choices = ", ".join(name for name, number in names.items() if number)
    if isinstance(value, str):
        if value.upper() in names:
            return ""
        nearest = difflib.get_close_matches(value.upper(), names, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else f"; use one of {choices}"
        return f'has no value "{value}"{hint}'
    if isinstance(value, int) and not isinstance(value, bool):
        return "" if value in names.values() else f"has no value {value}; use one of {choices}"
    return f"must be one of {choices}, not {json_type(value)}"


def _timestamp(value: JsonValue) -> str:
    how = "write a moment as 2026-01-31T09:00:00Z"
    if not isinstance(value, str):
        return f"must be a string, not {json_type(value)}; {how}"
    if not TIMESTAMP.fullmatch(value):
        return f"is not a moment; {how}"
    try:
        datetime.fromisoformat(re.sub(r"\.\d+", "", value).upper())
    except ValueError as error:
        return f"is not a moment: {error}; {how}"
    return ""


def _duration(value: JsonValue) -> str:
    how = 'write a span in seconds, for example "300s"'
    if not isinstance(value, str):
        return f"must be a string, not {json_type(value)}; {how}"
    if match := DURATION.fullmatch(value):
        return "" if int(match[1]) <= LONGEST_SPAN_SECONDS else "is too long a span"
    try:
        seconds = parse_duration(value).total_seconds()
    except (ValueError, OverflowError):
        return f"is not a span; {how}"
    return f'must be in seconds; write "{value}" as "{seconds:.9g}s"'


def _field_mask(value: JsonValue) -> str:
    if isinstance(value, str) and FIELD_MASK.fullmatch(value) and not value.endswith(","):
        return ""
    return 'must be the names of fields with commas between them, for example "schedule,webhook.url"'


def _object(value: JsonValue) -> str:
    return "" if isinstance(value, JsonObject) else f"must be an object, not {json_type(value)}"


def _list(value: JsonValue) -> str:
    is_list = isinstance(value, list) and not isinstance(value, JsonObject)
    return "" if is_list else f"must be a list, not {json_type(value)}"


CHECKS: Mapping[Kind, Callable[[JsonValue], str]] = {
    Kind.STRING: _string,
    Kind.BOOL: _bool,
    **{kind: _integer(kind) for kind in RANGES},
    Kind.FLOAT: _number(LARGEST_FLOAT),
    Kind.DOUBLE: _number(math.inf),
    Kind.BYTES: _bytes,
    Kind.TIMESTAMP: _timestamp,
    Kind.DURATION: _duration,
    Kind.FIELD_MASK: _field_mask,
    Kind.MESSAGE: _object,
    Kind.ANY_OBJECT: _object,
    Kind.ANY_LIST: _list,
    Kind.ANY_VALUE: lambda _: "",
}
