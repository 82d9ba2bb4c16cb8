"""The types of methods as their servers describe them (https://grpc.io/docs/guides/reflection/)."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias
from weakref import WeakValueDictionary

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from libs.clock import Clock
from libs.method_types import MethodTypes, types_in_files, well_known_file
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.grpc import GrpcMethod, Metadata

# The messages of both are the same.
PATHS = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
LIFETIME = timedelta(minutes=5)
LIMIT = 256
MOST_FILES = 1_000
MOST_BYTES = 16 * 1024 * 1024
DENIED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})

Ask: TypeAlias = reflection_pb2.ServerReflectionRequest
Told: TypeAlias = reflection_pb2.ServerReflectionResponse


class NoTypesError(Exception):
    """The server does not tell the types, for the reason that `failure` gives. Nothing of the call went out.

    `has_no_reflection` is true where it never will.
    """

    def __init__(self, kind: FailureKind, error: str, *, has_no_reflection: bool = False) -> None:
        super().__init__(error)
        self.failure = Failure(kind=kind, error=error)
        self.has_no_reflection = has_no_reflection


@dataclass(frozen=True, slots=True)
class Described:
    """Types of a method; `is_fresh` when the server was asked just now."""

    types: MethodTypes
    is_fresh: bool


class Reflection:
    """Asks servers, and remembers for five minutes what they said; of at most `limit` methods."""

    def __init__(self, clock: Clock, *, limit: int = LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._known: OrderedDict[GrpcMethod, tuple[MethodTypes, float]] = OrderedDict()
        self._asking: WeakValueDictionary[GrpcMethod, asyncio.Lock] = WeakValueDictionary()

    async def find(self, channel: grpc.aio.Channel, method: GrpcMethod) -> Described:
        """The types. A server is asked once at a time. Raises NoTypesError. The caller bounds the time."""
        if (known := self._recall(method)) is not None:
            return Described(known, is_fresh=False)
        lock = self._asking.setdefault(method, asyncio.Lock())
        async with lock:
            if (known := self._recall(method)) is not None:
                return Described(known, is_fresh=True)
            types = await describe(channel, method)
            self._remember(method, types)
            return Described(types, is_fresh=True)

    def forget(self, method: GrpcMethod) -> None:
        """Has the server asked again."""
        self._known.pop(method, None)

    def _recall(self, method: GrpcMethod) -> MethodTypes | None:
        types, expires_at = self._known.get(method, (None, 0.0))
        if types is None or expires_at <= self._clock.monotonic():
            return None
        self._known.move_to_end(method)
        return types

    def _remember(self, method: GrpcMethod, types: MethodTypes) -> None:
        self._known[method] = (types, self._clock.monotonic() + LIFETIME.total_seconds())
        self._known.move_to_end(method)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)


async def describe(channel: grpc.aio.Channel, method: GrpcMethod) -> MethodTypes:
    """The types of a method, from its server. Raises NoTypesError."""
    for path in PATHS:
        try:
            files = await _collect(channel, path, method)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise _no_answer(error, method) from None
        else:
            return _types(files, method)
    words = f"{method.server} has no reflection, which would tell the types of {method.path}"
    raise NoTypesError(
        FailureKind.INVALID, f"{words}; give descriptor_set, or raw_payload", has_no_reflection=True
    ) from None


def _types(files: Mapping[str, FileDescriptorProto], method: GrpcMethod) -> MethodTypes:
    try:
        return types_in_files(files.values(), method.path)
    except ValueError as error:
        raise NoTypesError(FailureKind.REFUSED, f"the reflection of {method.server} {error}") from None


async def _collect(channel: grpc.aio.Channel, path: str, method: GrpcMethod) -> dict[str, FileDescriptorProto]:
    """The file of the service and all that it imports. Raises AioRpcError and NoTypesError."""
    files: dict[str, FileDescriptorProto] = {}
    wanted, size = [Ask(file_containing_symbol=method.service)], 0
    while wanted:
        for told in await _exchange(channel, path, wanted, method.metadata):
            for text in _texts(told, method):
                size += len(text)
                file = _parse(text, method)
                files[file.name] = file
        if len(files) > MOST_FILES or size > MOST_BYTES:
            error = f"the reflection of {method.server} tells more than is read; give descriptor_set"
            raise NoTypesError(FailureKind.REFUSED, error)
        missing = _missing(files)
        # What was asked for by name and did not come will not come.
        asked = {each.file_by_filename for each in wanted}
        wanted = [Ask(file_by_filename=name) for name in missing if name not in asked]
    return files


async def _exchange(channel: grpc.aio.Channel, path: str, requests: Sequence[Ask], metadata: Metadata) -> list[Told]:
    ask = channel.stream_stream(path, request_serializer=Ask.SerializeToString, response_deserializer=Told.FromString)
    call = ask(iter(requests), metadata=metadata)
    try:
        return [told async for told in call]
    finally:
        call.cancel()


def _texts(told: Told, method: GrpcMethod) -> Sequence[bytes]:
    if told.HasField("error_response"):
        if told.original_request.file_by_filename and well_known_file(told.original_request.file_by_filename):
            return ()
        reason = told.error_response.error_message or "not found"
        error = f"{method.server} does not know the service {method.service}: {reason}"
        raise NoTypesError(FailureKind.REFUSED, error)
    return tuple(told.file_descriptor_response.file_descriptor_proto)


def _parse(text: bytes, method: GrpcMethod) -> FileDescriptorProto:
    try:
        return FileDescriptorProto.FromString(text)
    except DecodeError:
        error = f"the reflection of {method.server} tells something that is no description; give descriptor_set"
        raise NoTypesError(FailureKind.REFUSED, error) from None


def _missing(files: Mapping[str, FileDescriptorProto]) -> list[str]:
    needed = {name for file in files.values() for name in file.dependency}
    return sorted(name for name in needed - files.keys() if well_known_file(name) is None)


def _no_answer(error: grpc.aio.AioRpcError, method: GrpcMethod) -> NoTypesError:
    why = f"{error.code().name}: {error.details()}"
    if error.code() in DENIED:
        words = f"{method.server} does not tell the types of {method.path} with this metadata"
        return NoTypesError(FailureKind.CREDENTIALS, f"{words} ({why}); give descriptor_set")
    return NoTypesError(FailureKind.UNREADY, f"{method.server} could not tell the types of {method.path}: {why}")
