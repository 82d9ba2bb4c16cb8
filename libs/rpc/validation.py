"""Shape rules of requests (protovalidate), with violations as sentences that say how to fix the field."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import protovalidate
from google.protobuf.message import Message

from libs.durations import format_duration
from libs.faults import InvalidArgument, Violation

PATTERN_HINTS = {
    "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$": "use lower-case letters, digits and inner hyphens, at most 63",
    "^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$": (
        "use letters, digits and . _ / -, at most 63, with a letter or a digit at both ends"
    ),
}
COMPARISONS = (("greater than or equal to", "at least"), ("less than or equal to", "at most"))
SUBJECTS = ("value ", "repeated value ", "map ")


def check(request: Message, body_field: str = "") -> None:
    """Raises InvalidArgument with every field of the request that breaks a rule of its proto."""
    if violations := violations_of(request, body_field):
        raise InvalidArgument(violations)


def violations_of(request: Message, body_field: str = "") -> list[Violation]:
    """The fields that break a rule of the proto. Paths inside `body_field` are relative to it, as REST users see it."""
    return [_violation(request, found, body_field) for found in protovalidate.collect_violations(request)]


def _violation(request: Message, violation: protovalidate.Violation, body_field: str) -> Violation:
    elements = violation.proto.field.elements if violation.proto.field else []
    path = ".".join(_step(element) for element in elements)
    if body_field and path.startswith(f"{body_field}."):
        path = path[len(body_field) + 1 :]
    description = _describe(_owner(request, elements), elements[-1].field_name if elements else "", violation)
    return Violation(
        field=path, description=f"has a bad key: {description}" if violation.proto.for_key else description
    )


def _step(element: Any) -> str:
    subscript = element.subscript
    if subscript is None:
        return str(element.field_name)
    key = f'"{subscript.value}"' if subscript.field == "string_key" else str(subscript.value)
    return f"{element.field_name}[{key}]"


def _owner(request: Message, elements: Sequence[Any]) -> Any:
    """The descriptor of the message that the last element is a field of, None where there is none."""
    owner: Any = request.DESCRIPTOR
    for element in elements[:-1]:
        field = owner.fields_by_name.get(element.field_name) if owner else None
        owner = field.message_type if field else None
        if owner is not None and owner.GetOptions().map_entry:
            owner = owner.fields_by_name["value"].message_type
    return owner


def _describe(owner: Any, name: str, violation: protovalidate.Violation) -> str:
    rule = str(violation.proto.rule_id)
    if rule == "required" and owner is not None and name in owner.oneofs_by_name:
        return f"is required; give {' or '.join(field.name for field in owner.oneofs_by_name[name].fields)}"
    if rule.startswith("enum.") and owner is not None and name in owner.fields_by_name:
        values = owner.fields_by_name[name].enum_type.values
        return f"must be one of {', '.join(value.name for value in values if value.number)}"
    return _sentence(rule, violation.rule_value, violation.field_value) or _translated(violation)


def _translated(violation: protovalidate.Violation) -> str:
    text = str(violation.proto.message)
    for subject in SUBJECTS:
        text = text.removeprefix(subject)
    for long, short in COMPARISONS:
        text = text.replace(long, short)
    value = violation.field_value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{text}; it is {value:g}" if isinstance(value, float) else f"{text}; it is {value}"
    span = _span(value)
    return f"{text}; it is {format_duration(span)}" if span is not None else text


def _span(value: object) -> timedelta | None:
    if isinstance(value, Message) and value.DESCRIPTOR.full_name == "google.protobuf.Duration":
        try:
            return timedelta(seconds=value.seconds, microseconds=value.nanos / 1000)  # type: ignore[attr-defined]
        except OverflowError:
            return None
    return None


def _sentence(rule: str, limit: Any, value: Any) -> str | None:
    """What to do about the rules whose own messages do not say it well enough."""
    match rule:
        case "required":
            return "is required; give a value"
        case "string.min_len" if limit == 1:
            return "must not be empty"
        case "string.min_len":
            return f"must have at least {limit:,} characters; it has {len(value):,}"
        case "string.max_len":
            return f"must have at most {limit:,} characters; it has {len(value):,}"
        case "string.max_bytes":
            return f"must have at most {limit:,} bytes as UTF-8; it has {len(value.encode()):,}"
        case "string.in":
            return f"must be one of {', '.join(item for item in limit if item)}"
        case "string.not_contains":
            return f'must not contain "{limit}"'
        case "string.uuid":
            return "must be a UUID, for example 123e4567-e89b-42d3-a456-426614174000"
        case "string.pattern":
            return f"is not allowed; {PATTERN_HINTS.get(limit) or f'it must match {limit}'}"
        case "map.max_pairs":
            return f"must have at most {limit:,} entries; it has {len(value):,}"
        case "repeated.max_items":
            return f"must have at most {limit:,} items; it has {len(value):,}"
        case "repeated.min_items":
            return f"must have at least {limit:,} items; it has {len(value):,}"
        case "repeated.unique":
            return "must not hold the same item twice"
        case _:
            return None
