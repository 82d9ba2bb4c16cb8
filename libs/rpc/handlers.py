"""gRPC method handlers: taking a servicer's method out of one, and putting another in its place."""

import inspect
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from libs.faults import InvalidArgument

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

MAKERS: dict[tuple[bool, bool], Any] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Malformed:
    """Stands for a request that could not be decoded, until it is known whether the caller may hear about it."""


MALFORMED = Malformed()


def malformed() -> InvalidArgument:
    """The fault of a request that could not be decoded."""
    return InvalidArgument(
        [], message="the request is not a message of this method; generate the client from its proto"
    )


def behaviour_of(handler: Handler) -> Behaviour:
    """The function that answers, whatever the shape of the call."""
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return behaviour  # type: ignore[no-any-return]


def rebuilt(handler: Handler, behaviour: Behaviour) -> Handler:
    """The same handler with another function that answers, which gets MALFORMED for a request that is none."""
    make = MAKERS[bool(handler.request_streaming), bool(handler.response_streaming)]
    decode = _decoder(handler.request_deserializer, is_stream=bool(handler.request_streaming))
    made: Handler = make(behaviour, decode, handler.response_serializer)
    return made


def _decoder(decode: Any, *, is_stream: bool) -> Callable[[bytes], Any]:
    """Gives MALFORMED, or in a stream raises, where gRPC would answer UNKNOWN and log a stack for every caller."""

    def read(encoded: bytes) -> Any:
        try:
            return decode(encoded)
        except DecodeError as error:
            if is_stream:
                raise malformed() from error
            return MALFORMED

    return read


def unary(behaviour: Behaviour) -> Behaviour:
    """A method with one response as a coroutine; UNIMPLEMENTED when the servicer did not write it."""
    return behaviour if inspect.iscoroutinefunction(behaviour) else _unimplemented


def written(behaviour: Behaviour) -> Behaviour:
    """A method with a stream of responses as a coroutine that writes them; UNIMPLEMENTED when it was not written.

    Also a generator becomes such a coroutine: a cancelled call then unwinds here and now, while an abandoned generator
    would be closed by the garbage collector some time later.
    """
    if not inspect.isasyncgenfunction(behaviour):
        return unary(behaviour)

    async def write_all(request: Any, context: Context) -> None:
        async with aclosing(behaviour(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return write_all


async def _unimplemented(request: Any, context: Context) -> None:
    del request
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not offer the method")
