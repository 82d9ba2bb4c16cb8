"""The real history and dispatcher as servers, with their real clients, over the simulated network."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import grpc
import pytest
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.dispatcher.v1 import delivery_service_pb2_grpc as delivery_grpc
from chronos.history.v1 import ledger_service_pb2 as ledger_pb2
from chronos.history.v1.execution_pb2 import Execution

from libs.faults import Unavailable
from libs.rpc.auth import MESH_TOKEN, Authenticator
from libs.rpc.channel import DEFAULT_DEADLINE, MeshChannel
from libs.rpc.server import Service
from services.dispatcher.adapters.ledger import GrpcLedger
from services.dispatcher.dispatch import Dispatch
from services.dispatcher.servicer.deliveries import DeliveryServicer
from services.dispatcher.settings import DispatcherSettings
from services.history.app import wire
from services.history.settings import HistorySettings
from tests.deliveries import make_delivery, make_job
from tests.fakes.keys import FakeKeyDirectory
from tests.fakes.ledger import FakeLedger
from tests.fakes.sender import FakeSender
from tests.simulation.clock import NodeClock, TrueTime
from tests.simulation.loop import start_task
from tests.simulation.rpc_channel import SimChannel
from tests.simulation.rpc_server import SimServer
from tests.unit.simulation.rig import CLIENT, DELIVERIES, SERVER, TOKEN, Rig, simulated

HISTORY = "history"
TIME = TrueTime(datetime(2026, 1, 1, tzinfo=UTC))


class Mesh(Rig):
    """A history with a ledger in memory, and a dispatcher whose requests all succeed."""

    def __init__(self) -> None:
        super().__init__()
        self.boot(HISTORY)
        self.store = FakeLedger()
        self.sender = FakeSender()

    def clock(self, node: str) -> NodeClock:
        return TIME.clock_of(node)

    def open(self, node: str, address: str) -> grpc.aio.Channel:
        """A channel with the mesh's token."""
        return MeshChannel(SimChannel(self.network, node, address), ((MESH_TOKEN, TOKEN),), DEFAULT_DEADLINE)

    async def run_history(self) -> None:
        """Serves history at its node."""
        clock = self.clock(HISTORY)
        history = wire(HistorySettings(), self.store, self.store, clock)
        await self.run_server(HISTORY, list(history.services))

    async def run_dispatcher(self) -> None:
        """Serves a dispatcher at the server's node."""
        settings, clock, dice = DispatcherSettings(), self.clock(SERVER), random.Random(1)
        dispatch = Dispatch(
            settings,
            sender=self.sender,
            ledger=GrpcLedger(lambda: [address_of(HISTORY)], partial(self.open, SERVER), dice),
            clock=clock,
            dice=dice,
            user_agent="Chronos/test",
            instance="dispatcher-0-me",
        )
        servicer = DeliveryServicer(
            dispatch.streams,
            dispatch.intake,
            clock,
            interval=settings.event_interval,
            has_room=lambda: dispatch.has_room,
        )
        add = delivery_grpc.add_DeliveryServiceServicer_to_server
        await self.run_server(SERVER, [(add, servicer, DELIVERIES)])

        async def loops() -> None:
            async with asyncio.TaskGroup() as group:
                for loop in (*dispatch.loops.values(), servicer.run):
                    group.create_task(loop())  # type: ignore[arg-type]

        start_task(SERVER, loops())

    async def run_server(self, node: str, services: list[Service]) -> None:
        authenticator = Authenticator(FakeKeyDirectory(), self.clock(node))
        server = SimServer(
            self.network,
            node,
            address_of(node),
            services,
            authenticator=authenticator,
            clock=self.clock(node),
            mesh_token=TOKEN,
        )
        await self.at(node, server.start())


def address_of(node: str) -> str:
    return f"{node}:1"


def batch(number: int) -> ledger_pb2.RecordRequest:
    execution = Execution(
        id=f"00000000-0000-0000-0000-{number:012}",
        namespace="default",
        job_id="report",
        job_uid="u-1",
        job_version=1,
        cause=Execution.SCHEDULE,
        status=Execution.RUNNING,
        delivery=1,
    )
    execution.scheduled_time.FromDatetime(TIME.start)
    return ledger_pb2.RecordRequest(
        batch=number, records=[ledger_pb2.ExecutionRecord(execution=execution, shard=3, epoch=7)]
    )


async def acknowledged(mesh: Mesh, count: int) -> list[int]:
    """The batches that history acknowledged on a stream of the dispatcher's client."""
    ledger = GrpcLedger(lambda: [address_of(HISTORY)], partial(mesh.open, CLIENT), random.Random(1))
    done: list[int] = []
    async with ledger.open() as stream:
        for number in range(1, count + 1):
            await stream.send(batch(number))
        async for acknowledgement in stream.acknowledgements():
            done.append(acknowledgement.batch)
            if len(done) == count:
                break
    return done


@simulated
async def test_history_records_what_the_client_sends_and_acknowledges_it_in_order() -> None:
    mesh = Mesh()
    await mesh.run_history()
    assert await mesh.at(CLIENT, acknowledged(mesh, 200)) == list(range(1, 201))
    assert (await mesh.store.position()).seq == 200


@simulated
async def test_a_stream_to_a_history_that_dies_is_unavailable() -> None:
    mesh = Mesh()
    await mesh.run_history()
    mesh.store.is_held = True
    mesh.loop.call_later(1.0, mesh.kill, HISTORY)
    with pytest.raises(Unavailable):
        await mesh.at(CLIENT, acknowledged(mesh, 1))


@asynccontextmanager
async def delivering(mesh: Mesh) -> AsyncIterator["asyncio.Queue[delivery_pb2.DeliverRequest]"]:
    """A scheduler's stream; what is put into the queue is sent."""
    queue: asyncio.Queue[delivery_pb2.DeliverRequest] = asyncio.Queue()

    async def requests() -> AsyncIterator[delivery_pb2.DeliverRequest]:
        while True:
            yield await queue.get()

    async def read() -> None:
        async with mesh.open(CLIENT, address_of(SERVER)) as channel:
            async for response in delivery_grpc.DeliveryServiceStub(channel).Deliver(requests()):
                mesh.trace.extend(f"told of {event.execution_id}" for event in response.events)

    reader = start_task(CLIENT, read())
    try:
        yield queue
    finally:
        reader.cancel()


@simulated
async def test_a_delivery_goes_from_a_scheduler_over_a_dispatcher_into_history() -> None:
    mesh = Mesh()
    await mesh.run_history()
    await mesh.run_dispatcher()
    delivery = make_delivery(make_job("https://example.com/hook"), scheduled_time=TIME.start)
    async with delivering(mesh) as queue:
        queue.put_nowait(delivery_pb2.DeliverRequest(deliveries=[delivery]))
        await asyncio.sleep(5)
    assert len(mesh.sender.requests) == 1
    assert f"told of {delivery.execution_id}" in mesh.trace
    assert (await mesh.store.position()).seq >= 1


@simulated
async def test_a_dispatcher_brings_its_records_to_history_after_a_cut() -> None:
    mesh = Mesh()
    await mesh.run_history()
    await mesh.run_dispatcher()
    await asyncio.sleep(1)
    mesh.network.cut(SERVER, HISTORY)
    delivery = make_delivery(make_job("https://example.com/hook"), scheduled_time=TIME.start)
    async with delivering(mesh) as queue:
        queue.put_nowait(delivery_pb2.DeliverRequest(deliveries=[delivery]))
        await asyncio.sleep(30)
        assert (await mesh.store.position()).seq == 0
        mesh.network.heal(SERVER, HISTORY)
        await asyncio.sleep(5)
    assert (await mesh.store.position()).seq >= 1
    assert len(mesh.sender.requests) == 1
