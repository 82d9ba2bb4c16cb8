"""Streams under the same checks as calls."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
from chronos.dispatcher.v1 import delivery_service_pb2, delivery_service_pb2_grpc
from chronos.history.v1 import execution_service_pb2
from structlog.testing import capture_logs

from libs.faults import Fault, Forbidden, InvalidArgument, NotFound, Unauthenticated, Unavailable
from libs.rpc.channel import open_channel
from libs.rpc.context import MESH
from tests.component.rpc.harness import DELIVERIES, Served, fault_of, read_all, serving

WATCH = execution_service_pb2.WatchExecutionsRequest()


async def watched(served: Served) -> list[str]:
    call = served.executions.WatchExecutions(WATCH, metadata=served.metadata)
    return [response.resume_token async for response in call]


async def watch_fault(
    served: Served, request: execution_service_pb2.WatchExecutionsRequest = WATCH, **options: object
) -> tuple[list[str], Fault]:
    """What came before the stream broke, and the fault that broke it."""
    messages: list[execution_service_pb2.WatchExecutionsResponse] = []
    call = served.executions.WatchExecutions(request, **{"metadata": served.metadata, **options})  # type: ignore[arg-type]
    fault = await fault_of(read_all(call, messages))
    return [message.resume_token for message in messages], fault


async def forever() -> AsyncIterator[delivery_service_pb2.DeliverRequest]:
    yield delivery_service_pb2.DeliverRequest()
    await asyncio.Event().wait()


async def test_a_stream_passes_everything_on() -> None:
    async with serving() as served:
        assert await watched(served) == ["1", "2"]
    assert served.conduct.seen[0].namespace == "default"


async def test_a_fault_in_the_middle_of_a_stream_is_explained_after_what_came_before() -> None:
    async with serving() as served:
        served.conduct.fail_with(NotFound("gone"))
        tokens, fault = await watch_fault(served)
    assert tokens == ["1"]
    assert isinstance(fault, NotFound)
    assert fault.reason == "NOT_FOUND"


async def test_a_bug_in_a_stream_is_masked_and_logged() -> None:
    async with serving() as served:
        served.conduct.fail_with(ZeroDivisionError("hush"))
        with capture_logs() as logs:
            _, fault = await watch_fault(served)
    assert fault.code == "INTERNAL"
    assert "hush" not in fault.message
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["call broke"]


async def test_a_stream_needs_a_key_and_a_well_formed_request() -> None:
    async with serving() as served:
        limited = served.add_key(["execution:read"], ["elsewhere"])
        bad = execution_service_pb2.WatchExecutionsRequest(namespace="?")
        faults = [
            (await watch_fault(served, metadata=()))[1],
            (await watch_fault(served, metadata=limited))[1],
            (await watch_fault(served, bad))[1],
        ]
    assert [type(fault) for fault in faults] == [Unauthenticated, Forbidden, InvalidArgument]


async def test_a_caller_that_goes_away_cancels_the_servicer_at_once() -> None:
    async with serving() as served:
        served.conduct.never_answer()
        call = served.executions.WatchExecutions(WATCH, metadata=served.metadata)
        await call.read()
        async with asyncio.timeout(5):
            await served.conduct.waiting.wait()
            call.cancel()
            await served.conduct.cancelled.wait()


async def test_internal_streams_open_with_the_mesh_token_only() -> None:
    async with serving() as served:
        call = served.deliveries.Deliver(iter([delivery_service_pb2.DeliverRequest()] * 3))
        assert [response.credit async for response in call] == [1, 1, 1]
        assert served.conduct.seen[0].principal is MESH
        for token in ("", "guess"):
            async with open_channel(served.address, mesh_token=token) as stranger:
                stub = delivery_service_pb2_grpc.DeliveryServiceStub(stranger)
                refused = stub.Deliver(iter([delivery_service_pb2.DeliverRequest()]), metadata=served.metadata)
                assert isinstance(await fault_of(read_all(refused, [])), Forbidden)


async def test_the_reading_and_writing_style_works_too() -> None:
    async with serving() as served:
        call = served.deliveries.Deliver()
        for _ in range(3):
            await call.write(delivery_service_pb2.DeliverRequest())
            response = await call.read()
            assert isinstance(response, delivery_service_pb2.DeliverResponse)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_a_fault_in_an_internal_stream_is_explained() -> None:
    async with serving() as served:
        served.conduct.fail_with(Unavailable("the ledger is full"))
        fault = await fault_of(read_all(served.deliveries.Deliver(forever()), []))
    assert fault.message == "the ledger is full"


async def test_rubbish_in_a_stream_is_refused() -> None:
    async with serving() as served:
        deliver: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        deliver = served.channel.stream_stream(f"/{DELIVERIES}/Deliver")
        responses: list[bytes] = []
        fault = await fault_of(read_all(deliver(iter([b"", b"\xff\xff"])), responses))
    assert len(responses) == 1
    assert isinstance(fault, InvalidArgument)


async def test_a_drain_ends_open_streams_at_once_and_says_so() -> None:
    async with serving() as served:
        served.conduct.never_answer()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            watching = group.create_task(watch_fault(served))
            await served.conduct.waiting.wait()
            await served.server.drain(timedelta(seconds=60))
        tokens, fault = watching.result()
        assert served.conduct.cancelled.is_set()
    assert tokens == ["1"]
    assert isinstance(fault, Unavailable)
    assert fault.reason == "DRAINING"


async def test_many_streams_share_a_channel() -> None:
    async with serving() as served, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(_first_credit(served))


async def _first_credit(served: Served) -> None:
    call = served.deliveries.Deliver(iter([delivery_service_pb2.DeliverRequest()]))
    assert [response.credit async for response in call] == [1]
