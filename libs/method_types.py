"""The types of a unary gRPC method that this program was not built with: JSON to the wire and back."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message

WELL_KNOWN = "google/protobuf/"
# Beyond that, a hostile message or set could exhaust the stack.
MOST_NESTED = 100


@dataclass(frozen=True, slots=True)
class MethodTypes:
    """What a method takes and gives. Holds on to the pool that its types live in."""

    request: type[Message] = field(repr=False)
    response: type[Message] = field(repr=False)
    pool: DescriptorPool = field(repr=False)

    def encode(self, payload: bytes) -> bytes:
        """The request that JSON means; empty means an empty message. Raises ValueError that says where it is wrong."""
        message = self.request()
        if payload:
            try:
                json_format.Parse(payload, message, descriptor_pool=self.pool, max_recursion_depth=MOST_NESTED)
            except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
                name = self.request.DESCRIPTOR.full_name
                raise ValueError(f"the payload does not fit {name}: {_in_one_line(error)}") from None
        return message.SerializeToString()

    def decode(self, answer: bytes) -> str:
        """The answer as JSON. Raises ValueError when it is of another type."""
        try:
            message = self.response.FromString(answer)
            return json_format.MessageToJson(message, indent=None, ensure_ascii=False, descriptor_pool=self.pool)
        except (DecodeError, json_format.Error, TypeError, ValueError) as error:
            raise ValueError(f"the answer is no {self.response.DESCRIPTOR.full_name}: {error}") from None


def types_in_set(descriptor_set: bytes, method: str) -> MethodTypes:
    """The types of a method, `/package.Service/Method`, from a serialized FileDescriptorSet. Raises ValueError."""
    try:
        files = FileDescriptorSet.FromString(descriptor_set).file
    except DecodeError:
        raise ValueError("is no FileDescriptorSet; make one with: buf build -o set.binpb") from None
    return types_in_files(files, method)


def types_in_files(files: Iterable[FileDescriptorProto], method: str) -> MethodTypes:
    """The types of a method from the file that has it and all that it imports, in any order.

    Google's well-known types may be left out. Raises ValueError, in words that follow the name of what gave the files.
    """
    pool, known = DescriptorPool(), {file.name: file for file in files}
    for name in list(known):
        _add(pool, name, known, [])
    found = _find(pool, method)
    if found.client_streaming or found.server_streaming:
        raise ValueError(f"says that {method} streams; only unary methods can be called")
    return MethodTypes(
        request=message_factory.GetMessageClass(found.input_type),
        response=message_factory.GetMessageClass(found.output_type),
        pool=pool,
    )


def well_known_file(name: str) -> FileDescriptorProto | None:
    """A file of Google's well-known types, which come with the library; None for others."""
    if not name.startswith(WELL_KNOWN):
        return None
    try:
        known = descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        return None
    return FileDescriptorProto.FromString(known.serialized_pb)


def _add(pool: DescriptorPool, name: str, files: Mapping[str, FileDescriptorProto], within: list[str]) -> None:
    """Adds a file after what it imports."""
    if name in within:
        raise ValueError(f"has files that import each other: {name}")
    if len(within) > MOST_NESTED:
        raise ValueError(f"has a chain of more than {MOST_NESTED} imports")
    try:
        pool.FindFileByName(name)
    except KeyError:
        file = files.get(name) or well_known_file(name)
        if file is None:
            raise ValueError(f"lacks {name}, which is imported; give all imports") from None
        for needed in file.dependency:
            _add(pool, needed, files, [*within, name])
        try:
            pool.Add(file)
        except TypeError as error:
            raise ValueError(f"has a file that is not valid: {_in_one_line(error)}") from None


def _find(pool: DescriptorPool, method: str) -> MethodDescriptor:
    service, _, name = method.removeprefix("/").partition("/")
    try:
        found = pool.FindServiceByName(service)
    except KeyError:
        raise ValueError(f"has no service {service}") from None
    if name not in found.methods_by_name:
        known = ", ".join(sorted(found.methods_by_name)) or "none"
        raise ValueError(f"has no method {name} in {service}; there are {known}")
    return found.methods_by_name[name]


def _in_one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip().rstrip(".")
