"""Two nodes on a simulated network: a server of echoing services, and a client."""

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from types import CoroutineType
from typing import Any, TypeVar

import grpc
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.dispatcher.v1 import delivery_service_pb2_grpc as delivery_grpc

from libs.clock import SystemClock
from libs.rpc.auth import MESH_TOKEN
from libs.rpc.channel import MeshChannel
from libs.rpc.server import Service
from tests.simulation.loop import SimLoop, life_of, new_life, start_task
from tests.simulation.network import Conditions, Network
from tests.simulation.rpc_channel import SimChannel
from tests.simulation.rpc_server import SimServer

T = TypeVar("T")

CLIENT, SERVER = "client", "server"
ADDRESS = "server:1"
TOKEN = "a secret of the mesh"
DELIVERIES = "chronos.dispatcher.v1.DeliveryService"


def simulated(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs on a virtual clock; it fails when anything went wrong unseen."""

    @functools.wraps(test)
    def run() -> None:
        loop = SimLoop()
        try:
            loop.run_until_complete(_alone(test))
            assert loop.errors == []
        finally:
            loop.close()

    return run


async def _alone(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a test, then ends what it left behind: what lives is cancelled, what was killed is closed."""
    try:
        await test()
    finally:
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.sleep(1)
        for task in left:
            coroutine = task.get_coro()
            if not task.done() and isinstance(coroutine, CoroutineType):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(RuntimeError):
                    coroutine.close()


class Deliveries(delivery_grpc.DeliveryServiceServicer):
    """Gives a credit of one for each request, and keeps the requests."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.ended: list[str] = []
        self.is_reading = True

    async def Deliver(
        self, request_iterator: AsyncIterator[delivery_pb2.DeliverRequest], context: Any
    ) -> AsyncIterator[delivery_pb2.DeliverResponse]:
        yield delivery_pb2.DeliverResponse(credit=1)
        try:
            if not self.is_reading:
                await asyncio.Event().wait()
            async for request in request_iterator:
                self.seen.extend(request.adopt_execution_ids)
                yield delivery_pb2.DeliverResponse(credit=len(self.seen))
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("end of requests")


class Rig:
    """The network, and what runs on it."""

    def __init__(self, seed: int = 1, conditions: Conditions | None = None) -> None:
        self.trace: list[str] = []
        self.network = Network(random.Random(seed), conditions, trace=self.trace.append)
        self.deliveries = Deliveries()
        self.server: SimServer | None = None
        for node in (CLIENT, SERVER):
            self.boot(node)

    @property
    def loop(self) -> SimLoop:
        """The loop that runs."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        return loop

    def boot(self, node: str) -> None:
        """Starts a process of the node."""
        new_life(node)
        self.network.start(node)

    def kill(self, node: str) -> None:
        """Ends the process of the node."""
        self.loop.kill(life_of(node))
        self.network.kill(node)

    def pause(self, node: str) -> None:
        """Stops the process of the node."""
        self.loop.pause(life_of(node))
        self.network.pause(node)

    def resume(self, node: str) -> None:
        """Lets the process of the node go on."""
        self.loop.resume(life_of(node))
        self.network.resume(node)

    async def serve(self, services: Sequence[Service] | None = None) -> SimServer:
        """Starts a server at its node."""
        own = (delivery_grpc.add_DeliveryServiceServicer_to_server, self.deliveries, DELIVERIES)
        self.server = SimServer(
            self.network,
            SERVER,
            ADDRESS,
            services or [own],
            authenticator=None,
            clock=SystemClock(),
            mesh_token=TOKEN,
        )
        await self.at(SERVER, self.server.start())
        return self.server

    def channel(self, token: str = TOKEN) -> grpc.aio.Channel:
        """A channel of the client, as the services make them."""
        return MeshChannel(SimChannel(self.network, CLIENT, ADDRESS), ((MESH_TOKEN, token),), timedelta(seconds=30))

    async def at(self, node: str, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine at a node."""
        return await start_task(node, coroutine)


def request(name: str) -> delivery_pb2.DeliverRequest:
    """A small request that can be told from others."""
    return delivery_pb2.DeliverRequest(adopt_execution_ids=[name])


async def error_of(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")
