"""The scheduler's streams to dispatchers, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
from chronos.cluster.v1.cluster_pb2 import Member
from chronos.dispatcher.v1 import delivery_service_pb2, delivery_service_pb2_grpc

from libs.clock import SystemClock
from libs.rpc.channel import open_channel
from libs.rpc.server import RpcServer
from services.scheduler.adapters.dispatchers import DispatcherPool
from services.scheduler.ports.ledger import DispatcherLink

TOKEN = "mesh"


class Dispatcher(delivery_service_pb2_grpc.DeliveryServiceServicer):
    """Gives credit, and then waits for as long as the stream is open."""

    async def Deliver(self, request_iterator: Any, context: Any) -> AsyncIterator[delivery_service_pb2.DeliverResponse]:
        yield delivery_service_pb2.DeliverResponse(credit=1)
        async for _ in request_iterator:
            pass


class OneMember:
    """A dispatcher that stays a member."""

    version = 1

    def __init__(self, address: str) -> None:
        self.members = {"d1": Member(instance="d1", replica="d1", address=address)}

    async def changed(self, seen: int) -> int:
        if seen == self.version:
            await asyncio.Event().wait()
        return self.version


class Links:
    """Counts what happens on the links."""

    def __init__(self) -> None:
        self.opened = 0
        self.broken = 0
        self.changed = asyncio.Event()

    def link_opened(self, link: DispatcherLink) -> None:
        self.opened += 1
        self.changed.set()

    def link_answered(self, link: DispatcherLink, response: delivery_service_pb2.DeliverResponse) -> None:
        return

    def link_broken(self, link: DispatcherLink) -> None:
        self.broken += 1

    def dispatcher_gone(self, instance: str) -> None:
        return

    async def wait_until_opened(self, times: int) -> None:
        async with asyncio.timeout(10):
            while self.opened < times:
                self.changed.clear()
                await self.changed.wait()


async def test_a_stream_whose_channel_is_closed_is_opened_again() -> None:
    channels: list[grpc.aio.Channel] = []

    def open_and_keep(address: str) -> grpc.aio.Channel:
        channels.append(open_channel(address, mesh_token=TOKEN))
        return channels[-1]

    register = delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server
    service = (register, Dispatcher(), "chronos.dispatcher.v1.DeliveryService")
    server = RpcServer("127.0.0.1:0", [service], authenticator=None, clock=SystemClock(), mesh_token=TOKEN)
    members, links = OneMember(await server.start()), Links()
    pool = DispatcherPool(members, open_and_keep, links, SystemClock())  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(pool.run())
        await links.wait_until_opened(1)
        await channels[0].close()
        await links.wait_until_opened(2)
        serving.cancel()
    assert links.broken == 2
    await server.drain(timedelta(0))
