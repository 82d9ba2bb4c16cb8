"""gRPC method handlers: taking a servicer's method out of one, and putting another in its place."""

import inspect
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

MAKERS: dict[tuple[bool, bool], Any] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def behaviour_of(handler: Handler) -> Behaviour:
    """The function that answers, whatever the shape of the call."""
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return behaviour  # type: ignore[no-any-return]


def rebuilt(handler: Handler, behaviour: Behaviour) -> Handler:
    """The same handler with another function that answers."""
    make = MAKERS[bool(handler.request_streaming), bool(handler.response_streaming)]
    made: Handler = make(behaviour, handler.request_deserializer, handler.response_serializer)
    return made


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
