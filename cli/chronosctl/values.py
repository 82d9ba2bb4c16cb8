"""Values as people write them, in the JSON form of the API: `5m`, `forbid`, `MON-FRI@09:00-17:00`."""

import difflib
from typing import Any

import yaml
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from cli.chronosctl.durations import duration_json
from cli.chronosctl.errors import UsageError
from cli.chronosctl.fields import ALIASES, JOB, is_map
from cli.chronosctl.moments import offset_moment_json
from cli.chronosctl.target_aliases import with_plain_target
from cli.chronosctl.windows import window
from cli.chronosctl.yaml_text import yaml_value

DURATION = "google.protobuf.Duration"
TIMESTAMP = "google.protobuf.Timestamp"
WINDOW = "chronos.scheduler.v1.Window"
ANYTHING = "google.protobuf.Value"


def in_json_form(document: Any, message: Descriptor = JOB, path: str = "") -> Any:
    """The same document with durations, times, enums and windows as the API takes them, and short names as long ones.

    What it does not know it leaves to the server. Raises UsageError.
    """
    if not isinstance(document, dict):
        return document
    if message is JOB and not path:
        document = with_plain_target(_without_aliases(document))
    return {
        name: converted(value, message.fields_by_name.get(name), f"{path}{name}") for name, value in document.items()
    }


def typed_value(field: FieldDescriptor, text: str, path: str) -> Any:
    """The value that `text` means for a field: text as it is, everything else read as YAML. Raises UsageError."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not field.is_repeated:
        return text
    if text != "null" and not field.is_repeated and (_is(field, DURATION) or _is(field, TIMESTAMP) or field.enum_type):
        return converted(text, field, path)
    try:
        value = yaml_value(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: cannot read {text!r}; write lists as [a, b] and maps as {{a: b}}") from error
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL and not isinstance(value, bool):
        raise UsageError(f"{path} is true or false, not {text!r}")
    return converted(value, field, path)


def enum_value(text: str, enum: EnumDescriptor, path: str) -> str:
    """The name of an enum's value, written in any case and with `-` or `_`. Raises UsageError."""
    name = text.strip().upper().replace("-", "_")
    known = [value.name for value in enum.values if value.number]
    # The server prints what was never set as `…_UNSPECIFIED`; what it printed can be given back.
    if name not in known and name != enum.values_by_number[0].name:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{path} is {text!r}; it is one of {', '.join(known)}{meant}")
    return name


def converted(value: Any, field: FieldDescriptor | None, path: str) -> Any:
    """The JSON form of the value of one field, lists included. Raises UsageError."""
    if field is None or value is None or is_map(field):
        return value
    if not field.is_repeated:
        return _single(value, field, path)
    # A lone text where a list is wanted is a list of one.
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        return value
    return [_single(item, field, f"{path}[{index}]") for index, item in enumerate(items)]


def _single(value: Any, field: FieldDescriptor, path: str) -> Any:
    if _is(field, DURATION):
        return _duration(value, path)
    if _is(field, TIMESTAMP):
        return offset_moment_json(value, path) if isinstance(value, str) else value
    if _is(field, ANYTHING):
        return value
    if _is(field, WINDOW) and isinstance(value, str):
        return window(value, path)
    if field.enum_type is not None:
        return enum_value(value, field.enum_type, path) if isinstance(value, str) else value
    return in_json_form(value, field.message_type, f"{path}.") if field.message_type else value


def _duration(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{path} is {value!r}; give it a unit: 500ms, 30s, 5m or 1h30m")
    try:
        return duration_json(value)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _is(field: FieldDescriptor, name: str) -> bool:
    return field.message_type is not None and field.message_type.full_name == name


def _without_aliases(job: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in job.items() if name not in ALIASES}
    for name in job.keys() & ALIASES.keys():
        outer, inner = ALIASES[name].split(".")
        held = found.get(outer) or {}
        if not isinstance(held, dict) or inner in held:
            raise UsageError(f"{name} is short for {ALIASES[name]}; give one of the two")
        found[outer] = {**held, inner: job[name]}
    return found
