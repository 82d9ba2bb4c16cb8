"""Field masks: which fields of a job an update means (AIP-134, AIP-161)."""

from chronos.scheduler.v1 import job_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from libs.faults import InvalidArgument

IMMUTABLE = ("namespace", "id", "uid", "created_at", "updated_at", "updated_by", "version", "etag", "next_run")


def paths_of(mask: FieldMask, job: job_pb2.Job) -> list[str]:
    """The paths to change: those of the mask, else the fields that `job` gives. Raises InvalidArgument."""
    given = [field.name for field, _ in job.ListFields()]
    paths = [path for path in mask.paths if path] or [name for name in given if name not in IMMUTABLE]
    if "*" in paths:
        return [field.name for field in job_pb2.Job.DESCRIPTOR.fields if field.name not in IMMUTABLE]
    for path in paths:
        _check(path)
    if not paths:
        raise InvalidArgument.of("update_mask", "names nothing to change; give at least one field")
    return paths


def merge(current: job_pb2.Job, change: job_pb2.Job, paths: list[str]) -> job_pb2.Job:
    """A copy of `current` with the fields at `paths` taken from `change`; what `change` leaves out is cleared."""
    merged = job_pb2.Job()
    merged.CopyFrom(current)
    for path in paths:
        _copy(change, merged, path.split("."))
    return merged


def _check(path: str) -> None:
    descriptor = job_pb2.Job.DESCRIPTOR
    names = path.split(".")
    for index, name in enumerate(names):
        field = descriptor.fields_by_name.get(name)
        if field is None:
            known = ", ".join(f.name for f in descriptor.fields if f.name not in IMMUTABLE)
            raise InvalidArgument.of("update_mask", f'names the unknown field "{path}"; there are {known}')
        if index == len(names) - 1:
            break
        if field.is_repeated or field.type != FieldDescriptor.TYPE_MESSAGE:
            raise InvalidArgument.of("update_mask", f'"{path}" goes into {name}, which is changed as a whole')
        assert field.message_type is not None
        descriptor = field.message_type
    if names[0] in IMMUTABLE:
        raise InvalidArgument.of("update_mask", f'names "{path}", which cannot be changed')


def _copy(source: Message, target: Message, names: list[str]) -> None:
    name, *rest = names
    field = source.DESCRIPTOR.fields_by_name[name]
    if rest:
        _copy(getattr(source, name), getattr(target, name), rest)
        return
    target.ClearField(name)
    if field.is_repeated:
        getattr(target, name).MergeFrom(getattr(source, name))
    elif field.has_presence and not source.HasField(name):
        return
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(target, name).CopyFrom(getattr(source, name))
    else:
        setattr(target, name, getattr(source, name))
