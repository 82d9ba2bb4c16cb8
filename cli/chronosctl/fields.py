"""The fields of a job, as its proto declares them: paths, masks, and values typed on a command line."""

import difflib
from collections.abc import Iterator
from typing import Any

import yaml
from chronos.scheduler.v1.job_pb2 import Job
from google.api.field_behavior_pb2 import OUTPUT_ONLY, field_behavior
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from cli.chronosctl.durations import duration_json
from cli.chronosctl.errors import UsageError

JOB: Descriptor = Job.DESCRIPTOR
# They say which job is meant; an update does not change them.
IDENTITY = ("namespace", "id", "etag")


def with_json_durations(document: Any, message: Descriptor = JOB, path: str = "") -> Any:
    """The same document with each duration in its JSON form. What it does not know it leaves to the server."""
    if not isinstance(document, dict):
        return document
    return {
        name: _converted(value, message.fields_by_name.get(name), f"{path}{name}") for name, value in document.items()
    }


def mask_paths(document: dict[str, Any], message: Descriptor = JOB, prefix: str = "") -> Iterator[str]:
    """The paths of the fields that a partial job gives, leaves only; identity and computed fields left out."""
    for name, value in document.items():
        field = message.fields_by_name.get(name)
        if not prefix and (name in IDENTITY or (field is not None and is_computed(field))):
            continue
        inner = field and inner_message(field)
        if inner and isinstance(value, dict) and value:
            yield from mask_paths(value, inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def is_computed(field: FieldDescriptor) -> bool:
    """Whether only the server sets a field."""
    return OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior]


def inner_message(field: FieldDescriptor) -> Descriptor | None:
    """The message whose fields can be named further; None for scalars, lists, maps, durations and timestamps."""
    inner = field.message_type
    is_single = inner is not None and not field.is_repeated and not inner.full_name.startswith("google.protobuf.")
    return inner if is_single else None


def find_field(path: str) -> tuple[FieldDescriptor, list[str]]:
    """The field at a path, and the parts left over when the path goes into a map. Raises UsageError."""
    message = JOB
    parts = path.split(".")
    for index, part in enumerate(parts):
        field = message.fields_by_name.get(part)
        if field is None:
            near = difflib.get_close_matches(part, message.fields_by_name, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(message.fields_by_name)}"
            raise UsageError(f"a job has no field {path!r}; {meant}")
        rest = parts[index + 1 :]
        if not rest or _is_map(field):
            return field, rest
        inner = inner_message(field)
        if inner is None:
            raise UsageError(f"{path!r}: {'.'.join(parts[: index + 1])} has no fields of its own")
        message = inner
    raise AssertionError("a path has at least one part")


def typed_value(field: FieldDescriptor, text: str, path: str) -> Any:
    """The value that `text` means for a field: text as it is, everything else read as YAML. Raises UsageError."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not field.is_repeated:
        return text
    if _is_duration(field):
        return _converted(text, field, path)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: cannot read {text!r}; write lists as [a, b] and maps as {{a: b}}") from error
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL and not isinstance(value, bool):
        raise UsageError(f"{path} is true or false, not {text!r}")
    return _converted(value, field, path)


def _converted(value: Any, field: FieldDescriptor | None, path: str) -> Any:
    if field is None or value is None:
        return value
    if _is_duration(field):
        return _duration(value, path)
    inner = inner_message(field)
    return with_json_durations(value, inner, f"{path}.") if inner else value


def _duration(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{path} is {value!r}; give it a unit: 500ms, 30s, 5m or 1h30m")
    try:
        return duration_json(value)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _is_duration(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Duration"


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
