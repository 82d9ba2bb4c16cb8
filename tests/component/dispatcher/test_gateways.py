"""The dispatcher's calls to gateways while gateways come and go, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
from chronos.gateway.v1 import socket_service_pb2 as socket_pb2
from chronos.gateway.v1 import socket_service_pb2_grpc as socket_grpc

from libs.clock import SystemClock
from libs.rpc.channel import open_channel
from libs.rpc.server import RpcServer
from services.dispatcher.adapters.gateways import Gateways
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.websocket import SocketRequest
from tests.fakes.members import members_at

TOKEN = "mesh"
NOBODY = "127.0.0.1:1"
REQUEST = SocketRequest(
    namespace="default", client_name="till", job_id="print", execution_id="e-1", payload="", tags=(), headers={},
    timeout=timedelta(seconds=10),
)  # fmt: skip
Answer = socket_pb2.DeliverEventResponse


class Gateway(socket_grpc.SocketServiceServicer):
    """Holds each client, and answers once `may_answer`; while `is_stopping` it calls off what comes in."""

    def __init__(self, *, is_stopping: bool = False) -> None:
        self.is_stopping = is_stopping
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def DeliverEvent(self, request: socket_pb2.DeliverEventRequest, context: Any) -> Answer:
        if self.is_stopping:
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        self.asked.set()
        await self.may_answer.wait()
        return Answer(outcome=Answer.ACKNOWLEDGED)

    async def CopyEvent(self, request: socket_pb2.CopyEventRequest, context: Any) -> socket_pb2.CopyEventResponse:
        return socket_pb2.CopyEventResponse()


def open_gateways(members: Any) -> Gateways:
    return Gateways(members, lambda address: open_channel(address, mesh_token=TOKEN))


@asynccontextmanager
async def serve(gateway: Gateway) -> AsyncIterator[tuple[str, RpcServer]]:
    service = (socket_grpc.add_SocketServiceServicer_to_server, gateway, "chronos.gateway.v1.SocketService")
    server = RpcServer("127.0.0.1:0", [service], authenticator=None, clock=SystemClock(), mesh_token=TOKEN)
    yield await server.start(), server
    await server.close()


async def test_a_delivery_goes_on_though_its_gateway_has_left_the_list() -> None:
    first, second = Gateway(), Gateway()
    second.may_answer.set()
    async with serve(first) as (address, _), serve(second) as (other, _):
        members = members_at(address)
        gateways = open_gateways(members)
        async with asyncio.TaskGroup() as group:
            delivery = group.create_task(gateways.send(REQUEST))
            await first.asked.wait()
            members.members = members_at(other).members
            assert isinstance(await gateways.send(replace(REQUEST, execution_id="e-2")), Receipt)
            first.may_answer.set()
        assert isinstance(delivery.result(), Receipt)
        await gateways.close()


async def test_where_nothing_was_heard_of_it_the_next_gateway_gets_the_event() -> None:
    stopping, live = Gateway(is_stopping=True), Gateway()
    live.may_answer.set()
    async with serve(stopping) as (first, _), serve(live) as (last, _):
        gateways = open_gateways(members_at(NOBODY, first, last))
        for number in range(20):  # whichever of them is asked first
            assert isinstance(await gateways.send(replace(REQUEST, client_name=f"till-{number}")), Receipt)
        await gateways.close()


async def test_when_no_gateway_has_heard_of_an_event_nothing_was_sent() -> None:
    async with serve(Gateway(is_stopping=True)) as (stopping, _):
        gateways = open_gateways(members_at(NOBODY, stopping))
        failure = await gateways.send(REQUEST)
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.UNREADY
        await gateways.close()


async def test_an_event_that_a_gateway_may_have_passed_on_before_it_died_goes_to_no_other() -> None:
    first, second = Gateway(), Gateway()
    first.may_answer.set()
    second.may_answer.set()
    async with serve(first) as (address, server), serve(second) as (other, _):
        members = members_at(address)
        gateways = open_gateways(members)
        assert isinstance(await gateways.send(REQUEST), Receipt)  # from now on the first is asked first
        first.asked.clear()
        first.may_answer.clear()
        members.members = members_at(address, other).members
        async with asyncio.TaskGroup() as group:
            delivery = group.create_task(gateways.send(REQUEST))
            await first.asked.wait()
            await server.close()
        failure = delivery.result()
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.BROKEN
        assert not second.asked.is_set()
        await gateways.close()


async def test_a_delivery_whose_connection_is_closed_here_fails_instead_of_ending_the_task() -> None:
    gateway = Gateway()
    async with serve(gateway) as (address, _):
        gateways = open_gateways(members_at(address))
        async with asyncio.TaskGroup() as group:
            delivery = group.create_task(gateways.send(REQUEST))
            await gateway.asked.wait()
            await gateways.close()
        failure = delivery.result()
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.BROKEN
        gateway.may_answer.set()
