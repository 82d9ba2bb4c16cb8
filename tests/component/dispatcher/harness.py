"""A dispatcher in this process, behind real gRPC; and a scheduler's end of a stream to it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Self

import grpc
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.dispatcher.v1 import delivery_service_pb2_grpc as delivery_grpc
from chronos.history.v1 import execution_pb2

from libs.clock import SystemClock
from libs.rpc.channel import open_channel
from libs.rpc.server import RpcServer
from services.dispatcher.adapters.http import HttpSender, SharedClients
from services.dispatcher.adapters.http_clients import client_builder
from services.dispatcher.adapters.senders import Senders
from services.dispatcher.dispatch import Dispatch
from services.dispatcher.domain.targets.webhook import HttpRequest
from services.dispatcher.ports import Ledger, Sender
from services.dispatcher.servicer.deliveries import DeliveryServicer
from services.dispatcher.settings import DispatcherSettings
from tests.deliveries import quick_settings
from tests.fakes.history import FakeHistory

Event = delivery_pb2.DeliveryEvent
SERVICE = "chronos.dispatcher.v1.DeliveryService"
TOKEN = "mesh"
PATIENCE_SECONDS = 10


class SchedulerStream:
    """One stream to the dispatcher, with everything that came back on it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.credit = 0
        self.events: list[Event] = []
        self.messages = 0
        self.is_draining = False
        self.has_ended = False
        self._call = delivery_grpc.DeliveryServiceStub(channel).Deliver()
        self._changed = asyncio.Event()

    async def read(self) -> None:
        try:
            async for response in self._call:
                self.messages += 1
                self.credit += response.credit
                self.events += response.events
                self.is_draining |= response.is_draining
                self._changed.set()
        except grpc.aio.AioRpcError:
            pass
        finally:
            self.has_ended = True
            self._changed.set()

    async def send(self, *deliveries: delivery_pb2.Delivery) -> None:
        self.credit -= len(deliveries)
        await self._call.write(delivery_pb2.DeliverRequest(deliveries=deliveries))

    async def adopt(self, *execution_ids: str) -> None:
        await self._call.write(delivery_pb2.DeliverRequest(adopt_execution_ids=execution_ids))

    async def stop(self, execution_id: str, reason: str, code: "execution_pb2.Execution.Reason.ValueType") -> None:
        request = delivery_pb2.DeliverRequest()
        request.cancellations.add(execution_id=execution_id, reason=reason, reason_code=code)
        await self._call.write(request)

    def kinds(self, execution_id: str) -> list[str]:
        return [Event.Kind.Name(event.kind) for event in self.events if event.execution_id == execution_id]

    def event(self, execution_id: str, kind: "Event.Kind.ValueType") -> Event:
        return next(event for event in self.events if event.execution_id == execution_id and event.kind == kind)

    async def wait_for(self, is_there: Callable[[Self], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_there(self):
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_kind(self, execution_id: str, kind: str) -> None:
        await self.wait_for(lambda stream: kind in stream.kinds(execution_id))

    def cancel(self) -> None:
        self._call.cancel()


class Harness:
    """A running dispatcher."""

    def __init__(self, dispatch: Dispatch, history: FakeHistory, address: str, group: asyncio.TaskGroup) -> None:
        self.dispatch = dispatch
        self.history = history
        self.address = address
        self._group = group
        self._channels: list[grpc.aio.Channel] = []

    async def connect(self) -> SchedulerStream:
        """A new scheduler, which has its first credit."""
        channel = open_channel(self.address, mesh_token=TOKEN)
        self._channels.append(channel)
        stream = SchedulerStream(channel)
        self._group.create_task(stream.read())
        await stream.wait_for(lambda stream: stream.messages > 0)
        return stream

    async def wait_until(self, is_reached: Callable[[], bool]) -> None:
        """Looks again and again, since nothing tells."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_reached():
                await SystemClock().sleep(timedelta(milliseconds=1))

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def open_dispatcher(
    settings: DispatcherSettings | None = None, *, sender: Sender | None = None, ledger: Ledger | None = None
) -> AsyncIterator[Harness]:
    settings = settings or quick_settings()
    history, clock = FakeHistory(), SystemClock()
    http = HttpSender(
        SharedClients(lambda: client_builder(max_idle_per_host=32)),
        max_response_bytes=settings.max_response_bytes,
        longest_response_bytes=settings.longest_response_bytes,
    )
    dispatch = Dispatch(
        settings,
        sender=sender or Senders({HttpRequest: http.send}),
        ledger=ledger or history,
        clock=clock,
        dice=random.Random(1),
        user_agent="Chronos/test",
        instance="dispatcher-0-test",
    )
    servicer = DeliveryServicer(
        dispatch.streams, dispatch.intake, clock, interval=settings.event_interval, has_room=lambda: dispatch.has_room
    )
    service = (delivery_grpc.add_DeliveryServiceServicer_to_server, servicer, SERVICE)
    server = RpcServer("127.0.0.1:0", [service], authenticator=None, clock=clock, mesh_token=TOKEN)
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(_run(loop)) for loop in (*dispatch.loops.values(), servicer.run)]
        harness = Harness(dispatch, history, await server.start(), group)
        try:
            yield harness
        finally:
            await server.drain(timedelta(0))
            await harness.close()
            await http.close()
            for loop in loops:
                loop.cancel()


async def _run(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()
