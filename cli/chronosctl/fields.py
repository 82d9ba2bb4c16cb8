"""The fields of a job, as its proto declares them: paths and masks."""

import difflib
from collections.abc import Iterator
from typing import Any

from chronos.scheduler.v1.job_pb2 import Job
from google.api.field_behavior_pb2 import OUTPUT_ONLY, field_behavior
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from cli.chronosctl.errors import UsageError

JOB: Descriptor = Job.DESCRIPTOR
# They say which job is meant; an update does not change them.
IDENTITY = ("namespace", "id", "etag")
# Short names that files and --set take for fields of a job.
ALIASES = {"depends_on": "dependencies.depends_on"}


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
    path = ALIASES.get(path, path)
    parts = path.split(".")
    for index, part in enumerate(parts):
        field = message.fields_by_name.get(part)
        if field is None:
            near = difflib.get_close_matches(part, message.fields_by_name, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(message.fields_by_name)}"
            raise UsageError(f"a job has no field {path!r}; {meant}")
        rest = parts[index + 1 :]
        if not rest or is_map(field):
            return field, rest
        inner = inner_message(field)
        if inner is None:
            raise UsageError(f"{path!r}: {'.'.join(parts[: index + 1])} has no fields of its own")
        message = inner
    raise AssertionError("a path has at least one part")


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map: everything after its name in a path is one key."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry
