"""Cancellations and circuit breakers with real HTTP."""

import asyncio

from chronos.history.v1 import execution_pb2

from libs.clock import SystemClock
from services.dispatcher.domain.breaker import State
from tests.component.dispatcher.harness import Event, Harness, SchedulerStream, open_dispatcher
from tests.deliveries import make_delivery, make_job, quick_settings
from tests.receiver import Manner, Receiver, Reply

Execution = execution_pb2.Execution


async def end_of(harness: Harness, stream: SchedulerStream, url: str) -> execution_pb2.Execution:
    """Delivers once and gives the end."""
    delivery = make_delivery(make_job(url, max_attempts=1))
    await stream.send(delivery)
    return await harness.history.wait_for_final(delivery.execution_id)


async def test_a_cancelled_execution_ends_at_once_while_its_endpoint_still_works() -> None:
    hold = asyncio.Event()
    async with Receiver() as receiver, open_dispatcher() as harness:
        stream = await harness.connect()
        delivery = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold))))
        await stream.send(delivery)
        await receiver.wait_for_count(1)
        await stream.stop(delivery.execution_id, "stopped by ann", Execution.CANCELLED_BY_USER)
        await stream.wait_for_kind(delivery.execution_id, "FINISHED")
        assert stream.event(delivery.execution_id, Event.FINISHED).status == Execution.CANCELLED
        final = harness.history.final(delivery.execution_id)
        assert final is not None
        assert (final.status, final.reason, final.attempt_count) == (Execution.CANCELLED, "stopped by ann", 1)
        assert harness.dispatch.delivery_loop.busy == 0
        hold.set()
        assert (await end_of(harness, stream, receiver.url("/quick"))).status == Execution.SUCCESS
        assert stream.kinds(delivery.execution_id).count("FINISHED") == 1


async def test_the_dispatcher_goes_on_after_many_cancellations() -> None:
    async with Receiver() as receiver, Receiver() as deaf, open_dispatcher(quick_settings(max_in_flight=8)) as harness:
        stream = await harness.connect()
        job = make_job(deaf.reply("/", Reply(manner=Manner.SILENT)))
        deliveries = [make_delivery(job) for _ in range(40)]
        await stream.send(*deliveries)
        await deaf.wait_for_count(8)
        for delivery in deliveries:
            await stream.stop(delivery.execution_id, "all of them", Execution.CANCELLED_BY_USER)
        for delivery in deliveries:
            await stream.wait_for_kind(delivery.execution_id, "FINISHED")
        assert (await end_of(harness, stream, receiver.url())).status == Execution.SUCCESS
        await harness.wait_until(lambda: harness.dispatch.delivery_loop.busy == 0)
        await stream.wait_for(lambda stream: stream.credit == 4096)


async def test_a_host_that_keeps_failing_is_left_alone_and_found_well_again() -> None:
    async with Receiver() as receiver, open_dispatcher(quick_settings(breaker_open="300ms")) as harness:
        stream = await harness.connect()
        url = receiver.reply("/", *[Reply(status=500)] * 5, Reply())
        for _ in range(5):
            await end_of(harness, stream, url)
        (tripped,) = harness.dispatch.breakers.tripped
        assert (tripped.host, tripped.breaker.state) == (f"127.0.0.1:{receiver.port}", State.OPEN)
        refused = await end_of(harness, stream, url)
        assert (refused.status, refused.reason_code) == (Execution.FAILED, Execution.BREAKER_OPEN)
        assert len(receiver.requests) == 5
        await harness.wait_until(lambda: _is_due(harness))
        assert (await end_of(harness, stream, url)).status == Execution.SUCCESS
        assert (await end_of(harness, stream, url)).status == Execution.SUCCESS
        assert harness.dispatch.breakers.tripped == []


async def test_a_host_that_is_not_there_is_left_alone() -> None:
    async with open_dispatcher() as harness:
        stream = await harness.connect()
        ends = [await end_of(harness, stream, "http://127.0.0.1:9/") for _ in range(6)]
        assert [end.reason_code == Execution.BREAKER_OPEN for end in ends] == [False] * 5 + [True]
        assert "last: connection refused by 127.0.0.1:9" in ends[-1].error


def _is_due(harness: Harness) -> bool:
    (tripped,) = harness.dispatch.breakers.tripped
    return SystemClock().monotonic() >= tripped.breaker.probe_at
