"""JSON text to values, refusing whatever another parser might read differently (RFC 8259)."""

import json
from collections.abc import Iterator
from typing import NoReturn

from libs.faults import InvalidArgument, Violation

# As deep as Envoy's own parser goes.
DEEPEST = 100
LONGEST_NUMBER = 400


class JsonObject(list[tuple[str, "JsonValue"]]):
    """The members of an object in the order given; the same name may come twice."""


JsonValue = None | bool | int | float | str | list["JsonValue"] | JsonObject


def parse(body: bytes) -> JsonValue:
    """The value of a whole body. Raises InvalidArgument with line and column."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(f"byte {error.start} is not UTF-8; encode the body as UTF-8")
    if text.startswith("\ufeff"):
        _refuse("it begins with a byte order mark; leave that out")
    try:
        value: JsonValue = json.loads(
            text, object_pairs_hook=JsonObject, parse_constant=_refuse_constant, parse_int=_read_int
        )
    except json.JSONDecodeError as error:
        _refuse(f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}")
    except RecursionError:
        _refuse(f"it is nested deeper than {DEEPEST} levels")
    if _depth_exceeds(value, DEEPEST):
        _refuse(f"it is nested deeper than {DEEPEST} levels")
    if "\\u" in text and not _is_encodable(value):
        _refuse("it holds half of a surrogate pair; write the whole character")
    return value


def _is_encodable(value: JsonValue) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_int(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        _refuse(f"the number {text[:12]}… is too long")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f'{name} is not JSON; write "{name}" in quotes where a number may be that')


def _refuse(problem: str) -> NoReturn:
    raise InvalidArgument([Violation(field="", description=problem)], message=f"the body is not valid JSON: {problem}")


def _depth_exceeds(value: JsonValue, most: int) -> bool:
    level: list[JsonValue] = [value]
    for _ in range(most + 1):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(value: JsonValue) -> Iterator[JsonValue]:
    match value:
        case JsonObject():
            yield from (child for _, child in value if isinstance(child, list))
        case list():
            yield from (child for child in value if isinstance(child, list))
