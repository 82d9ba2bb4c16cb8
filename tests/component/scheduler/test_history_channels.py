"""The scheduler's calls to history while histories come and go, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from chronos.history.v1 import ledger_service_pb2 as ledger_pb2
from chronos.history.v1 import ledger_service_pb2_grpc as ledger_grpc

from libs.clock import SystemClock
from libs.faults import Unavailable
from libs.rpc.channel import open_channel
from libs.rpc.server import RpcServer
from services.scheduler.adapters.ledger import HistoryLedger
from services.scheduler.ports.ledger import Note
from tests.fakes.firing import Execution, identity_at
from tests.fakes.members import members_at

TOKEN = "mesh"


class Ledger(ledger_grpc.LedgerServiceServicer):
    """Answers searches once `may_answer`; refuses what is recorded under epochs before 5."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def Record(self, request_iterator: Any, context: Any) -> AsyncIterator[ledger_pb2.RecordResponse]:
        async for batch in request_iterator:
            stale = [record.execution.id for record in batch.records if record.epoch < 5]
            yield ledger_pb2.RecordResponse(batch=batch.batch, stale_execution_ids=stale)

    async def SealShard(self, request: Any, context: Any) -> AsyncIterator[ledger_pb2.SealShardResponse]:
        yield ledger_pb2.SealShardResponse()

    async def FindExecutions(self, request: Any, context: Any) -> ledger_pb2.FindExecutionsResponse:
        self.asked.set()
        await self.may_answer.wait()
        return ledger_pb2.FindExecutionsResponse()


class Side:
    """A scheduler's ledger, and the channels that it opened."""

    def __init__(self, members: Any) -> None:
        self.channels: list[grpc.aio.Channel] = []
        self.ledger = HistoryLedger(members, self._open)

    def _open(self, address: str) -> grpc.aio.Channel:
        self.channels.append(open_channel(address, mesh_token=TOKEN))
        return self.channels[-1]


@asynccontextmanager
async def serve(ledger: Ledger) -> AsyncIterator[str]:
    service = (ledger_grpc.add_LedgerServiceServicer_to_server, ledger, "chronos.history.v1.LedgerService")
    server = RpcServer("127.0.0.1:0", [service], authenticator=None, clock=SystemClock(), mesh_token=TOKEN)
    yield await server.start()
    await server.drain(timedelta(0))


async def fault_of(call: Awaitable[object]) -> Unavailable | None:
    try:
        await call
    except Unavailable as error:
        return error
    return None


async def test_a_call_goes_on_though_its_history_has_left_the_list() -> None:
    first, second = Ledger(), Ledger()
    second.may_answer.set()
    async with serve(first) as address, serve(second) as other:
        members = members_at(address)
        side = Side(members)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(fault_of(side.ledger.find("default", ids=["x"])))
            await first.asked.wait()
            members.members = members_at(other).members
            await side.ledger.find("default", ids=["y"])
            first.may_answer.set()
        assert asking.result() is None
        await side.ledger.find("default", ids=["z"])
        assert side.channels[0].get_state() is grpc.ChannelConnectivity.SHUTDOWN
        await side.ledger.close()


async def test_a_call_whose_channel_is_closed_fails_instead_of_ending_the_task() -> None:
    ledger = Ledger()
    async with serve(ledger) as address:
        side = Side(members_at(address))
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(fault_of(side.ledger.find("default", ids=["x"])))
            await ledger.asked.wait()
            await side.ledger.close()
        assert isinstance(asking.result(), Unavailable)
        ledger.may_answer.set()


async def test_a_task_that_is_cancelled_while_it_asks_is_cancelled() -> None:
    ledger = Ledger()
    async with serve(ledger) as address:
        side = Side(members_at(address))
        asking = asyncio.ensure_future(side.ledger.find("default", ids=["x"]))
        await ledger.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        ledger.may_answer.set()
        await side.ledger.close()


async def test_notes_that_were_refused_are_told() -> None:
    async with serve(Ledger()) as address:
        side = Side(members_at(address))
        notes = [Note(execution=Execution(id=identity_at(epoch)), shard=1, epoch=epoch) for epoch in (4, 5)]
        assert await side.ledger.record(notes) == {identity_at(4)}
        await side.ledger.close()
