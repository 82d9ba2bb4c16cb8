"""A gRPC server over the simulated network: the real servicers behind the real checks of libs/rpc."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import grpc

from libs.clock import Clock
from libs.log import get_logger
from libs.rpc.auth import Authenticator, Gate
from libs.rpc.calls import CallInterceptor, Rules
from libs.rpc.handlers import Handler, behaviour_of
from libs.rpc.methods import read_methods
from libs.rpc.server import Service
from libs.rpc.streams import OpenStreams
from tests.simulation.network import Network, Socket
from tests.simulation.rpc_context import SimContext
from tests.simulation.rpc_frames import Begin, Cancel, Credit, GoAway, HalfClose, Message, Trailers, is_too_large

__all__ = ["SimServer"]

Code = grpc.StatusCode
logger = get_logger()


class Details(NamedTuple):
    """What an interceptor learns of a call."""

    method: str
    invocation_metadata: Any


class Handlers:
    """Stands in for the server that a generated `add_…_to_server` registers its handlers with."""

    def __init__(self) -> None:
        self.by_path: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """The registered ones say the same."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Takes the handlers of one service."""
        self.by_path.update({f"/{service}/{name}": handler for name, handler in handlers.items()})


class Link:
    """The server's end of one connection, and the calls on it."""

    def __init__(self, socket: Socket, server: "SimServer") -> None:
        self._socket = socket
        self._server = server
        self._calls: dict[int, Call] = {}
        socket.on_message = self._take
        socket.on_broken = self._broken

    @property
    def tasks(self) -> list["asyncio.Task[None]"]:
        """The handlers that run."""
        return [call.task for call in self._calls.values()]

    def go_away(self) -> None:
        """Asks the client to begin its next calls elsewhere."""
        self._socket.send(GoAway())

    def close(self) -> None:
        """Ends what still runs, and the connection."""
        for call in list(self._calls.values()):
            call.stop(Code.UNAVAILABLE, "Server shutdown")
        self._socket.close()

    def ended(self, stream: int) -> None:
        """A handler ended."""
        self._calls.pop(stream, None)

    def _take(self, frame: Any) -> None:
        if isinstance(frame, Begin):
            if self._server.is_draining:
                self._socket.send(Trailers(frame.stream, Code.UNAVAILABLE, "the server is shutting down", ()))
            else:
                context = SimContext(frame, self._socket.peer.name, self._socket.send)
                self._calls[frame.stream] = Call(frame, context, self, self._server)
            return
        call = self._calls.get(frame.stream)
        if call is not None:
            call.take(frame)

    def _broken(self, reason: str) -> None:
        del reason
        self._server.forget(self)
        for call in list(self._calls.values()):
            call.cancel()


class Call:
    """One call that is being answered."""

    def __init__(self, begin: Begin, context: SimContext, link: Link, server: "SimServer") -> None:
        self._begin = begin
        self._context = context
        self._link = link
        self._server = server
        loop = asyncio.get_running_loop()
        self._timer = None if begin.seconds is None else loop.call_later(begin.seconds, self._expire)
        self.task = loop.create_task(self._run())
        self.task.add_done_callback(self._ended)

    def take(self, frame: object) -> None:
        """A frame of the client arrived."""
        match frame:
            case Message(body=body) if is_too_large(body):
                self.stop(Code.RESOURCE_EXHAUSTED, "Received message larger than max")
            case Message(body=body):
                self._context.inbox.put(body)
            case Credit(granted=count):
                self._context.window.grant(count)
            case HalfClose():
                self._context.inbox.end()
            case Cancel():
                self.cancel()

    def cancel(self) -> None:
        """The client is gone or wants no answer."""
        self._context.leave(is_cancelled=True)
        self.task.cancel()

    def stop(self, code: Code, details: str) -> None:
        """Ends the call from here."""
        self._context.end(code, details)
        self.task.cancel()

    def _expire(self) -> None:
        self.stop(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")

    async def _run(self) -> None:
        context = self._context
        try:
            await self._answer()
        except grpc.aio.AbortError:
            pass
        except asyncio.CancelledError:
            context.end(Code.CANCELLED, "the handler was cancelled")
            raise
        except Exception as error:
            logger.error("simulated handler broke", method=self._begin.path, exc_info=error)
            context.end(Code.UNKNOWN, f"Unexpected {type(error)}: {error}")

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Also of a handler that was cancelled before its first step."""
        del task
        self._context.leave(is_cancelled=False)
        if self._timer is not None:
            self._timer.cancel()
        self._link.ended(self._begin.stream)

    async def _answer(self) -> None:
        context = self._context
        handler = await self._server.handler(self._begin)
        if handler is None:
            context.end(Code.UNIMPLEMENTED, "Method not found!")
            return
        context.decode, context.encode = handler.request_deserializer or bytes, handler.response_serializer or bytes
        request: Any = context if handler.request_streaming else await context.read()
        if request is grpc.aio.EOF:
            return
        response = await behaviour_of(handler)(request, context)
        if not handler.response_streaming:
            await context.write(response)
        context.succeed()


class SimServer:
    """Has the interface of libs.rpc.server.RpcServer; answers at `address`, without health and reflection."""

    def __init__(
        self,
        network: Network,
        node: str,
        address: str,
        services: Sequence[Service],
        *,
        authenticator: Authenticator | None,
        clock: Clock,
        mesh_token: str = "",
        default_deadline: timedelta = timedelta(seconds=30),
    ) -> None:
        self._network = network
        self._node = node
        self._address = address
        self._streams = OpenStreams()
        self._links: dict[Link, None] = {}
        self._handlers = Handlers()
        self._is_listening = False
        self.is_serving = False
        self.is_draining = False
        gate = Gate(authenticator, mesh_token)
        methods = {path: method for _, _, name in services for path, method in read_methods(name).items()}
        for method in methods.values():
            gate.check_method(method)
        rules = Rules(gate=gate, clock=clock, streams=self._streams, default_deadline=default_deadline)
        self._interceptor = CallInterceptor(methods, rules)
        for add, servicer, _ in services:
            add(servicer, self._handlers)

    async def start(self) -> str:
        """See RpcServer."""
        self._network.listen(self._node, self._address, self._accept)
        self._is_listening = True
        await self.set_serving(True)
        return self._address

    async def set_serving(self, is_serving: bool) -> None:
        """See RpcServer."""
        self.is_serving = is_serving and not self.is_draining

    async def drain(self, grace: timedelta) -> None:
        """See RpcServer."""
        self.is_draining = True
        self.is_serving = False
        if self._is_listening:
            self._network.unlisten(self._address)
            self._is_listening = False
        self._streams.end_all()
        for link in self._links:
            link.go_away()
        running = [task for link in self._links for task in link.tasks]
        if running:
            await asyncio.wait(running, timeout=grace.total_seconds())
        links, self._links = self._links, {}
        for link in links:
            link.close()

    async def close(self) -> None:
        """See RpcServer."""
        await self.drain(timedelta(0))

    async def handler(self, begin: Begin) -> "Handler | None":
        """The handler of a call behind the checks, None when nobody offers the method."""

        async def find(details: grpc.HandlerCallDetails) -> "Handler | None":
            return self._handlers.by_path.get(details.method)

        details: Any = Details(begin.path, begin.metadata)
        found: Handler | None = await self._interceptor.intercept_service(find, details)
        return found

    def forget(self, link: Link) -> None:
        """A connection is gone."""
        self._links.pop(link, None)

    def _accept(self, socket: Socket) -> None:
        self._links[Link(socket, self)] = None
