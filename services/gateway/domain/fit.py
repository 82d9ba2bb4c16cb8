"""Does a JSON value fit a shape? Every place where it does not, with its path as the caller wrote it."""

import difflib
from collections.abc import Iterator
from itertools import islice

from libs.faults import Violation
from services.gateway.domain.json_text import JsonObject, JsonValue
from services.gateway.domain.scalars import json_type, problem_of
from services.gateway.domain.shapes import FieldShape, Kind, MessageShape, Shape

MOST_VIOLATIONS = 20
MOST_NAMES = 12


def misfits(shape: Shape, value: JsonValue) -> list[Violation]:
    """What is wrong with the value, in the order in which it is written; the first `MOST_VIOLATIONS`."""
    return list(islice(_value(shape, value, ""), MOST_VIOLATIONS))


def _value(shape: Shape, value: JsonValue, path: str) -> Iterator[Violation]:
    if problem := problem_of(shape.kind, value, shape.enum):
        yield Violation(field=path, description=problem)
    elif shape.kind is Kind.MESSAGE and shape.message is not None and isinstance(value, JsonObject):
        yield from _members(shape.message, value, path)
    elif isinstance(value, JsonObject):
        yield from _repeated_names(value, path)


def _members(message: MessageShape, members: JsonObject, path: str) -> Iterator[Violation]:
    given: dict[str, str] = {}
    choices: dict[str, str] = {}
    for name, value in members:
        here = _join(path, name)
        field = message.fields.get(name)
        if field is None:
            yield Violation(field=here, description=_unknown(name, message))
        elif field.name in given:
            yield Violation(field=here, description=_again(given[field.name], name))
        else:
            given[field.name] = name
            other = choices.setdefault(field.oneof, name) if field.oneof and value is not None else name
            if other != name:
                yield Violation(field=here, description=f"excludes `{other}`; give only one of the two")
            yield from _field(field, value, here)


def _field(field: FieldShape, value: JsonValue, path: str) -> Iterator[Violation]:
    if value is None:
        return  # As if it were not there, which is what protobuf's JSON mapping says of null.
    if field.map_key is not None:
        yield from _entries(field, value, path)
    elif field.is_repeated:
        yield from _items(field.value, value, path)
    else:
        yield from _value(field.value, value, path)


def _items(shape: Shape, value: JsonValue, path: str) -> Iterator[Violation]:
    if not isinstance(value, list) or isinstance(value, JsonObject):
        yield Violation(field=path, description=f"must be a list, not {json_type(value)}")
        return
    for index, item in enumerate(value):
        yield from _value(shape, item, f"{path}[{index}]")


def _entries(field: FieldShape, value: JsonValue, path: str) -> Iterator[Violation]:
    if not isinstance(value, JsonObject):
        yield Violation(field=path, description=f"must be an object, not {json_type(value)}")
        return
    yield from _repeated_names(value, path)
    for key, item in value:
        here = _join(path, key)
        if problem := _key_problem(field.map_key or Kind.STRING, key):
            yield Violation(field=here, description=problem)
        yield from _value(field.value, item, here)


def _key_problem(kind: Kind, key: str) -> str:
    if kind is Kind.BOOL:
        return "" if key in ("true", "false") else 'must have a key that is "true" or "false"'
    problem = problem_of(kind, key, {})
    return f"has a key that {problem}" if problem else ""


def _repeated_names(members: JsonObject, path: str) -> Iterator[Violation]:
    seen: set[str] = set()
    for name, _ in members:
        if name in seen:
            yield Violation(field=_join(path, name), description=_again(name, name))
        seen.add(name)


def _again(first: str, second: str) -> str:
    return "is given twice; keep one" if first == second else f"is the same field as `{first}`; keep one"


def _unknown(name: str, message: MessageShape) -> str:
    nearest = difflib.get_close_matches(name.lower(), message.names, n=1)
    if nearest:
        return f"unknown field `{name}`; did you mean `{nearest[0]}`?"
    if not message.fields:
        return f"unknown field `{name}`; nothing can be given here"
    shown = ", ".join(message.names[:MOST_NAMES])
    return f"unknown field `{name}`; the fields here are {shown}{', …' if len(message.names) > MOST_NAMES else ''}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
