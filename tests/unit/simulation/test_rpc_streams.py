"""Simulated calls with streams: order, flow control, ends from either side, cuts and deaths."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.dispatcher.v1 import delivery_service_pb2_grpc as delivery_grpc

from tests.simulation.rpc_frames import WINDOW
from tests.unit.simulation.rig import CLIENT, DELIVERIES, SERVER, Rig, error_of, request, simulated

if TYPE_CHECKING:
    from chronos.dispatcher.v1.delivery_service_pb2_grpc import DeliveryServiceAsyncStub

Code = grpc.StatusCode
MANY = 10 * WINDOW
NAMES = [f"run-{number}" for number in range(MANY)]


def stub(channel: grpc.aio.Channel) -> "DeliveryServiceAsyncStub":
    return delivery_grpc.DeliveryServiceStub(channel)


class Stream:
    """A stream of the client, its credits, and how it ended."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.credits: list[int] = []
        self.outcome = ""
        self.ended_at = 0.0
        self.call: Any = None
        self._requests: asyncio.Queue[str | None] = asyncio.Queue()

    def send(self, name: str | None) -> None:
        """Sends a request; None ends them."""
        self._requests.put_nowait(name)

    async def run(self) -> None:
        """Reads to the end."""
        async with self.rig.channel() as channel:
            self.call = stub(channel).Deliver(self._pending())
            try:
                async for response in self.call:
                    self.credits.append(response.credit)
                self.outcome = "OK"
            except grpc.aio.AioRpcError as error:
                self.outcome = error.code().name
            except asyncio.CancelledError:
                self.outcome = "cancelled here"
        self.ended_at = self.rig.loop.time()

    async def _pending(self) -> AsyncIterator[delivery_pb2.DeliverRequest]:
        while (name := await self._requests.get()) is not None:
            yield request(name)


async def open_stream(rig: Rig) -> tuple[Stream, "asyncio.Task[None]"]:
    if rig.server is None:
        await rig.serve()
    stream = Stream(rig)
    task = rig.loop.create_task(rig.at(CLIENT, stream.run()))
    await asyncio.sleep(0.1)
    return stream, task


@simulated
async def test_requests_of_an_iterator_arrive_in_order_and_are_answered() -> None:
    rig = Rig()
    stream, task = await open_stream(rig)
    for name in [*NAMES, None]:
        stream.send(name)
    await task
    assert rig.deliveries.seen == NAMES
    assert stream.credits == [1, *range(1, MANY + 1)]
    assert stream.outcome == "OK"
    assert rig.deliveries.ended == ["end of requests"]


@simulated
async def test_requests_can_be_written_and_responses_read() -> None:
    rig = Rig()
    await rig.serve()

    async def talk() -> None:
        call = stub(rig.channel()).Deliver()
        assert await call.read() == delivery_pb2.DeliverResponse(credit=1)
        await call.write(request("a"))
        assert await call.read() == delivery_pb2.DeliverResponse(credit=1)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is Code.OK
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(request("b"))

    await rig.at(CLIENT, talk())


@simulated
async def test_a_message_is_a_copy() -> None:
    rig = Rig()
    await rig.serve()

    async def talk() -> None:
        call = stub(rig.channel()).Deliver()
        mine = request("before")
        await call.write(mine)
        mine.adopt_execution_ids[0] = "after"
        await asyncio.sleep(1)
        call.cancel()

    await rig.at(CLIENT, talk())
    assert rig.deliveries.seen == ["before"]


@simulated
async def test_a_writer_waits_for_a_reader_that_does_not_read() -> None:
    rig = Rig()
    rig.deliveries.is_reading = False
    await rig.serve()
    written: list[str] = []

    async def talk() -> None:
        call = stub(rig.channel()).Deliver()
        try:
            async with asyncio.timeout(1):
                for name in NAMES:
                    await call.write(request(name))
                    written.append(name)
        finally:
            assert call.cancelled(), "a write that is cancelled cancels its call"

    with pytest.raises(TimeoutError):
        await rig.at(CLIENT, talk())
    assert len(written) == WINDOW


@simulated
async def test_cancelling_the_call_ends_both_sides() -> None:
    rig = Rig()
    stream, task = await open_stream(rig)
    stream.call.cancel()
    await task
    await asyncio.sleep(0.1)
    assert stream.outcome == "cancelled here"
    assert rig.deliveries.ended == ["cancelled"]


@simulated
async def test_a_drain_ends_streams_as_unavailable() -> None:
    rig = Rig()
    stream, task = await open_stream(rig)
    assert rig.server is not None
    await rig.at(SERVER, rig.server.drain(timedelta(seconds=5)))
    await task
    assert stream.outcome == "UNAVAILABLE"
    assert rig.deliveries.ended == ["cancelled"]


@simulated
async def test_a_cut_ends_the_stream_at_both_sides_by_their_keep_alive_and_nothing_arrives() -> None:
    rig = Rig()
    stream, task = await open_stream(rig)
    rig.network.cut(CLIENT, SERVER)
    cut_at = rig.loop.time()
    stream.send("late")
    await task
    assert stream.outcome == "UNAVAILABLE"
    assert 5.0 <= stream.ended_at - cut_at <= 15.0
    await asyncio.sleep(10)
    assert rig.deliveries.ended == ["cancelled"]
    assert rig.deliveries.seen == []


@simulated
async def test_a_cut_that_heals_in_time_loses_nothing() -> None:
    rig = Rig()
    stream, task = await open_stream(rig)
    rig.network.cut(CLIENT, SERVER)
    for name in NAMES:
        stream.send(name)
    await asyncio.sleep(4)
    assert rig.deliveries.seen == []
    rig.network.heal(CLIENT, SERVER)
    stream.send(None)
    await task
    assert rig.deliveries.seen == NAMES
    assert stream.credits == [1, *range(1, MANY + 1)]


@simulated
async def test_requests_arrive_through_a_one_way_cut_and_answers_do_not() -> None:
    rig = Rig()
    stream, task = await open_stream(rig)
    rig.network.cut(SERVER, CLIENT, is_one_way=True)
    stream.send("a")
    await task
    assert rig.deliveries.seen == ["a"]
    assert stream.credits == [1]
    assert stream.outcome == "UNAVAILABLE"


@simulated
async def test_the_death_of_the_server_resets_the_stream() -> None:
    rig = Rig()
    stream, task = await open_stream(rig)
    killed_at = rig.loop.time()
    rig.kill(SERVER)
    await task
    assert stream.outcome == "UNAVAILABLE"
    assert stream.ended_at - killed_at < 0.1
    assert rig.deliveries.ended == [], "no finally block runs in a killed process"


@simulated
async def test_the_death_of_the_client_cancels_the_handler() -> None:
    rig = Rig()
    await open_stream(rig)
    rig.kill(CLIENT)
    await asyncio.sleep(0.1)
    assert rig.deliveries.ended == ["cancelled"]


@simulated
async def test_a_client_that_was_paused_too_long_finds_its_stream_gone() -> None:
    rig = Rig()
    stream, task = await open_stream(rig)
    rig.pause(CLIENT)
    await asyncio.sleep(20)
    assert rig.deliveries.ended == ["cancelled"]
    assert stream.outcome == ""
    rig.resume(CLIENT)
    await task
    assert stream.outcome == "UNAVAILABLE"


@simulated
async def test_an_iterator_that_fails_cancels_the_call() -> None:
    rig = Rig()
    await rig.serve()

    async def broken() -> AsyncIterator[delivery_pb2.DeliverRequest]:
        yield request("a")
        raise ZeroDivisionError

    async def talk() -> None:
        with pytest.raises(asyncio.CancelledError):
            async for _ in stub(rig.channel()).Deliver(broken()):
                pass

    await rig.at(CLIENT, talk())


@simulated
async def test_a_stream_that_nobody_wrote_is_unimplemented() -> None:
    rig = Rig()
    nothing = delivery_grpc.DeliveryServiceServicer()  # type: ignore[abstract]
    await rig.serve([(delivery_grpc.add_DeliveryServiceServicer_to_server, nothing, DELIVERIES)])

    async def talk() -> grpc.aio.AioRpcError:
        call = stub(rig.channel()).Deliver()
        return await error_of(call.read())

    assert (await rig.at(CLIENT, talk())).code() is Code.UNIMPLEMENTED


@simulated
async def test_a_response_that_is_too_large_ends_the_call() -> None:
    rig = Rig()
    await rig.serve()

    async def talk() -> grpc.aio.AioRpcError:
        call = stub(rig.channel()).Deliver()
        await call.read()
        await call.write(request("x" * 9 * 1024 * 1024))
        return await error_of(call.read())

    assert (await rig.at(CLIENT, talk())).code() is Code.RESOURCE_EXHAUSTED


@simulated
async def test_a_seed_repeats_exactly() -> None:
    async def course(seed: int) -> list[tuple[float, int]]:
        rig = Rig(seed)
        stream, task = await open_stream(rig)
        begun = rig.loop.time()
        steps = rig.loop.steps
        for name in [*NAMES, None]:
            stream.send(name)
        await task
        return [(round(stream.ended_at - begun, 9), rig.loop.steps - steps)]

    assert await course(1) == await course(1)
    assert await course(1) != await course(2)
