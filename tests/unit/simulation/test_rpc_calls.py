"""Simulated calls with one response: answers, faults on the wire, deadlines, cancelling, dead servers."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from chronos.history.v1 import ledger_service_pb2 as ledger_pb2
from chronos.history.v1 import ledger_service_pb2_grpc as ledger_grpc

from libs.faults import Forbidden, InvalidArgument, LimitReached, WrongState
from libs.rpc import context
from libs.rpc.faults import fault_from
from tests.simulation.loop import NODE
from tests.unit.simulation.rig import CLIENT, SERVER, Rig, error_of, simulated

if TYPE_CHECKING:
    from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceAsyncStub

LEDGERS = "chronos.history.v1.LedgerService"
Code = grpc.StatusCode


class Ledgers(ledger_grpc.LedgerServiceServicer):
    """Finds what the test wants found."""

    def __init__(self) -> None:
        self.behave: Callable[[], Awaitable[None]] = self._nothing
        self.seen: list[str] = []
        self.ended: list[str] = []

    async def FindExecutions(
        self, request: ledger_pb2.FindExecutionsRequest, context_: Any
    ) -> ledger_pb2.FindExecutionsResponse:
        self.seen.append(f"{request.namespace} at {NODE.get()} by {context.current().principal.id}")
        try:
            await self.behave()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return ledger_pb2.FindExecutionsResponse()

    async def _nothing(self) -> None:
        """Answers at once."""

    async def never(self) -> None:
        """Answers never."""
        await asyncio.Event().wait()

    def fail_with(self, error: Exception) -> None:
        """Every call ends with the error."""

        async def fail() -> None:
            raise error

        self.behave = fail


REQUEST = ledger_pb2.FindExecutionsRequest(namespace="ops")


async def ledgers(rig: Rig) -> Ledgers:
    servicer = Ledgers()  # type: ignore[abstract]
    await rig.serve([(ledger_grpc.add_LedgerServiceServicer_to_server, servicer, LEDGERS)])
    return servicer


def stub(channel: grpc.aio.Channel) -> "LedgerServiceAsyncStub":
    return ledger_grpc.LedgerServiceStub(channel)


async def outcome(rig: Rig, **options: Any) -> grpc.aio.AioRpcError:
    """The error that a call of the client ends with."""

    async def call() -> grpc.aio.AioRpcError:
        async with rig.channel() as channel:
            return await error_of(stub(channel).FindExecutions(REQUEST, **options))

    return await rig.at(CLIENT, call())


@simulated
async def test_a_call_runs_at_the_server_as_a_service_of_the_mesh_and_is_answered() -> None:
    rig = Rig()
    servicer = await ledgers(rig)

    async def call() -> object:
        return await stub(rig.channel()).FindExecutions(REQUEST)

    assert await rig.at(CLIENT, call()) == ledger_pb2.FindExecutionsResponse()
    assert servicer.seen == ["ops at server by mesh"]


@simulated
async def test_a_fault_reaches_the_client_with_its_details() -> None:
    rig = Rig()
    servicer = await ledgers(rig)
    servicer.fail_with(WrongState("a newer epoch is sealed", reason="EPOCH_SEALED", metadata={"epoch": "8"}))
    fault = fault_from(await outcome(rig))
    assert isinstance(fault, WrongState)
    assert (fault.message, fault.reason, fault.metadata["epoch"]) == ("a newer epoch is sealed", "EPOCH_SEALED", "8")
    servicer.fail_with(LimitReached("too many", retry_after=timedelta(seconds=3)))
    limit = fault_from(await outcome(rig))
    assert isinstance(limit, LimitReached)
    assert limit.retry_after == timedelta(seconds=3)


@simulated
async def test_a_bug_of_the_servicer_is_masked() -> None:
    rig = Rig()
    (await ledgers(rig)).fail_with(ZeroDivisionError("secret"))
    error = await outcome(rig)
    assert error.code() is Code.INTERNAL
    assert "secret" not in str(error.details())


@simulated
async def test_the_mesh_token_is_checked() -> None:
    rig = Rig()
    await ledgers(rig)

    async def call() -> grpc.aio.AioRpcError:
        return await error_of(stub(rig.channel("wrong")).FindExecutions(REQUEST))

    assert isinstance(fault_from(await rig.at(CLIENT, call())), Forbidden)


@simulated
async def test_a_request_that_is_no_message_is_refused() -> None:
    rig = Rig()
    await ledgers(rig)

    async def call() -> grpc.aio.AioRpcError:
        raw: Any = rig.channel().unary_unary(f"/{LEDGERS}/FindExecutions")
        return await error_of(raw(b"\xff"))

    assert isinstance(fault_from(await rig.at(CLIENT, call())), InvalidArgument)


@simulated
async def test_a_method_that_nobody_knows_is_unimplemented() -> None:
    rig = Rig()
    await ledgers(rig)

    async def call() -> grpc.aio.AioRpcError:
        raw: Any = rig.channel().unary_unary("/chronos.Nothing/Do")
        return await error_of(raw(b""))

    assert (await rig.at(CLIENT, call())).code() is Code.UNIMPLEMENTED


@simulated
async def test_a_deadline_ends_the_call_on_both_sides() -> None:
    rig = Rig()
    servicer = await ledgers(rig)
    servicer.behave = servicer.never
    begun = rig.loop.time()
    assert (await outcome(rig, timeout=2.0)).code() is Code.DEADLINE_EXCEEDED
    assert rig.loop.time() - begun == pytest.approx(2.0, abs=0.01)
    await asyncio.sleep(0.1)
    assert servicer.ended == ["cancelled"]


@simulated
async def test_a_call_without_a_timeout_gets_that_of_the_mesh() -> None:
    rig = Rig()
    servicer = await ledgers(rig)
    servicer.behave = servicer.never
    begun = rig.loop.time()
    assert (await outcome(rig)).code() is Code.DEADLINE_EXCEEDED
    assert rig.loop.time() - begun == pytest.approx(30.0, abs=0.01)


@simulated
async def test_a_caller_that_is_cancelled_cancels_the_handler() -> None:
    rig = Rig()
    servicer = await ledgers(rig)
    servicer.behave = servicer.never

    async def call() -> None:
        async with asyncio.timeout(1):
            await stub(rig.channel()).FindExecutions(REQUEST)

    with pytest.raises(TimeoutError):
        await rig.at(CLIENT, call())
    await asyncio.sleep(0.1)
    assert servicer.ended == ["cancelled"]


@simulated
async def test_closing_the_channel_cancels_what_is_under_way() -> None:
    rig = Rig()
    servicer = await ledgers(rig)
    servicer.behave = servicer.never

    async def call() -> None:
        channel = rig.channel()
        pending = stub(channel).FindExecutions(REQUEST)
        await asyncio.sleep(1)
        await channel.close()
        with pytest.raises(grpc.aio.UsageError):
            stub(channel).FindExecutions(REQUEST)
        with pytest.raises(asyncio.CancelledError):
            await pending

    await rig.at(CLIENT, call())
    await asyncio.sleep(0.1)
    assert servicer.ended == ["cancelled"]


@simulated
async def test_a_server_that_nobody_started_is_unavailable_and_found_once_it_is_there() -> None:
    rig = Rig()

    async def calls() -> None:
        channel = rig.channel()
        assert (await error_of(stub(channel).FindExecutions(REQUEST))).code() is Code.UNAVAILABLE
        await ledgers(rig)
        assert (await error_of(stub(channel).FindExecutions(REQUEST))).code() is Code.UNAVAILABLE, "still backing off"
        await asyncio.sleep(0.2)
        await stub(channel).FindExecutions(REQUEST)

    await rig.at(CLIENT, calls())


@simulated
async def test_a_call_through_a_cut_fails_when_the_connection_cannot_be_made() -> None:
    rig = Rig()
    await ledgers(rig)
    rig.network.cut(CLIENT, SERVER)
    begun = rig.loop.time()
    assert (await outcome(rig)).code() is Code.UNAVAILABLE
    assert rig.loop.time() - begun == pytest.approx(1.0, abs=0.01)


@simulated
async def test_an_answer_that_cannot_come_back_is_a_missed_deadline_and_yet_took_effect() -> None:
    rig = Rig()
    servicer = await ledgers(rig)

    async def calls() -> grpc.aio.AioRpcError:
        channel = rig.channel()
        await stub(channel).FindExecutions(REQUEST)
        rig.network.cut(SERVER, CLIENT, is_one_way=True)
        return await error_of(stub(channel).FindExecutions(REQUEST, timeout=3.0))

    assert (await rig.at(CLIENT, calls())).code() is Code.DEADLINE_EXCEEDED
    assert len(servicer.seen) == 2


@simulated
async def test_the_death_of_the_server_makes_its_calls_unavailable_at_once() -> None:
    rig = Rig()
    servicer = await ledgers(rig)
    servicer.behave = servicer.never
    rig.loop.call_later(1.0, rig.kill, SERVER)
    begun = rig.loop.time()
    assert (await outcome(rig)).code() is Code.UNAVAILABLE
    assert rig.loop.time() - begun < 1.1
    assert servicer.ended == [], "no finally block runs in a killed process"


@simulated
async def test_a_restarted_server_is_called_again_over_the_same_channel() -> None:
    rig = Rig()
    await ledgers(rig)

    async def calls() -> None:
        channel = rig.channel()
        await stub(channel).FindExecutions(REQUEST)
        rig.kill(SERVER)
        await asyncio.sleep(1)
        assert (await error_of(stub(channel).FindExecutions(REQUEST))).code() is Code.UNAVAILABLE
        rig.boot(SERVER)
        await ledgers(rig)
        await asyncio.sleep(1)
        await stub(channel).FindExecutions(REQUEST)

    await rig.at(CLIENT, calls())


@simulated
async def test_a_drain_lets_calls_end_and_refuses_new_ones() -> None:
    rig = Rig()
    servicer = await ledgers(rig)

    async def soon() -> None:
        await asyncio.sleep(2)

    servicer.behave = soon

    async def calls() -> None:
        channel = rig.channel()
        running = stub(channel).FindExecutions(REQUEST)
        await asyncio.sleep(1)
        assert rig.server is not None
        drained = rig.loop.create_task(rig.server.drain(timedelta(seconds=5)))
        await asyncio.sleep(0.1)
        assert (await error_of(stub(channel).FindExecutions(REQUEST))).code() is Code.UNAVAILABLE
        await running
        await drained
        await rig.server.close()
        assert not rig.server.is_serving

    await rig.at(CLIENT, calls())


@simulated
async def test_what_outlives_the_grace_of_a_drain_is_unavailable() -> None:
    rig = Rig()
    servicer = await ledgers(rig)
    servicer.behave = servicer.never
    server = rig.server
    assert server is not None
    rig.loop.call_later(1.0, lambda: rig.loop.create_task(server.drain(timedelta(seconds=2))))
    begun = rig.loop.time()
    assert (await outcome(rig)).code() is Code.UNAVAILABLE
    assert rig.loop.time() - begun == pytest.approx(3.0, abs=0.1)
    await asyncio.sleep(0.1)
    assert servicer.ended == ["cancelled"]
