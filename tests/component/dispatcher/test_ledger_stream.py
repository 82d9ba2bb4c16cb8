"""The adapter to history, over real gRPC, with a ledger that can misbehave."""

import asyncio
import random
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
from services.dispatcher.adapters.ledger import GrpcLedger
from services.dispatcher.ports import Acknowledgement
from tests.component.dispatcher.harness import open_dispatcher
from tests.deliveries import make_delivery, make_job
from tests.receiver import Receiver

TOKEN = "mesh"


class Ledger(ledger_grpc.LedgerServiceServicer):
    """Acknowledges every batch but the first `broken` ones, at which it breaks the stream."""

    def __init__(self, broken: int = 0) -> None:
        self.broken = broken
        self.batches: list[ledger_pb2.RecordRequest] = []

    async def Record(self, request_iterator: Any, context: Any) -> AsyncIterator[ledger_pb2.RecordResponse]:
        async for batch in request_iterator:
            if self.broken:
                self.broken -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the disk is full")
            self.batches.append(batch)
            yield ledger_pb2.RecordResponse(
                batch=batch.batch, stale_execution_ids=["old"], claimed_execution_ids=["taken"]
            )

    async def SealShard(self, request: Any, context: Any) -> AsyncIterator[ledger_pb2.SealShardResponse]:
        yield ledger_pb2.SealShardResponse()

    async def FindExecutions(self, request: Any, context: Any) -> ledger_pb2.FindExecutionsResponse:
        return ledger_pb2.FindExecutionsResponse()


@asynccontextmanager
async def serve(ledger: Ledger) -> AsyncIterator[str]:
    service = (ledger_grpc.add_LedgerServiceServicer_to_server, ledger, "chronos.history.v1.LedgerService")
    server = RpcServer("127.0.0.1:0", [service], authenticator=None, clock=SystemClock(), mesh_token=TOKEN)
    yield await server.start()
    await server.drain(timedelta(0))


def connect(*addresses: str, token: str = TOKEN) -> GrpcLedger:
    return GrpcLedger(lambda: addresses, lambda address: open_channel(address, mesh_token=token), random.Random(1))


async def test_batches_are_sent_and_acknowledged() -> None:
    async with serve(Ledger()) as address, connect(address).open() as stream:
        await stream.send(ledger_pb2.RecordRequest(batch=7, records=[ledger_pb2.ExecutionRecord(shard=1)]))
        acknowledgement = await anext(stream.acknowledgements())
    assert acknowledgement == Acknowledgement(
        batch=7, stale_execution_ids=frozenset({"old"}), claimed_execution_ids=frozenset({"taken"})
    )


async def test_without_a_history_there_is_nothing_to_open() -> None:
    with pytest.raises(Unavailable, match="no history is running"):
        async with connect().open():
            pass


async def test_a_history_that_does_not_answer_breaks_the_stream() -> None:
    async with connect("127.0.0.1:9").open() as stream:
        with pytest.raises(Unavailable, match=r"the stream to history at 127\.0\.0\.1:9 broke"):
            await anext(stream.acknowledgements())


async def test_a_history_that_refuses_the_token_breaks_the_stream() -> None:
    async with serve(Ledger()) as address, connect(address, token="wrong").open() as stream:
        with pytest.raises(Unavailable):
            await anext(stream.acknowledgements())


async def test_a_stream_that_has_just_ended_is_broken_for_the_next_batch() -> None:
    async with serve(Ledger(broken=1)) as address, connect(address).open() as stream:
        await stream.send(ledger_pb2.RecordRequest(batch=1))
        with pytest.raises(Unavailable, match="the disk is full"):
            await anext(stream.acknowledgements())
        with pytest.raises(Unavailable, match="broke"):
            await stream.send(ledger_pb2.RecordRequest(batch=2))


async def test_the_end_of_a_channel_breaks_the_stream_instead_of_cancelling_who_reads_it() -> None:
    channels = []

    def open_and_keep(address: str) -> grpc.aio.Channel:
        channels.append(open_channel(address, mesh_token=TOKEN))
        return channels[-1]

    async with serve(Ledger()) as address:
        ledger = GrpcLedger(lambda: [address], open_and_keep, random.Random(1))
        async with ledger.open() as stream, asyncio.TaskGroup() as group:
            await stream.send(ledger_pb2.RecordRequest(batch=1))
            acknowledgements = stream.acknowledgements()
            await anext(acknowledgements)
            reading = group.create_task(_error_of(anext(acknowledgements)))
            await asyncio.sleep(0)
            await channels[0].close()
        assert isinstance(reading.result(), Unavailable)


async def _error_of(reading: Awaitable[object]) -> Exception | None:
    try:
        await reading
    except Unavailable as error:
        return error
    return None


async def test_a_broken_stream_is_opened_again_and_everything_arrives() -> None:
    ledger = Ledger(broken=2)
    async with serve(ledger) as address, Receiver() as receiver, open_dispatcher(ledger=connect(address)) as harness:
        scheduler = await harness.connect()
        deliveries = [make_delivery(make_job(receiver.url())) for _ in range(3)]
        await scheduler.send(*deliveries)
        for delivery in deliveries:
            await scheduler.wait_for_kind(delivery.execution_id, "FINISHED")
        assert ledger.broken == 0
        assert len(receiver.requests) == 3
