"""Connections to gRPC servers: shared, bounded, and mended when a server dies under load."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from libs.clock import SystemClock
from services.dispatcher.adapters.checked_addresses import AnyAddress
from services.dispatcher.adapters.grpc_links import Link, open_links
from services.dispatcher.adapters.grpc_sender import GrpcSender
from services.dispatcher.domain.results import FailureKind, Reply, Result
from services.dispatcher.domain.targets.grpc_codes import Code
from tests.contract.targets.grpc_rig import FACTS, failure_of, open_sender, plan_of, reply_of, request_of
from tests.eventually import eventually
from tests.servers.grpc import GrpcServer, GrpcServerProcess
from tests.servers.orders import SLOW

RAW = b"\x0a\x03ann"
WORKERS = 16
PATIENCE = timedelta(seconds=10)


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    async with GrpcServer() as server:
        yield server


@pytest.fixture
async def sender() -> AsyncIterator[GrpcSender]:
    async with open_sender() as sender:
        yield sender


@pytest.fixture
def own_process(tmp_path: Path) -> Iterator[GrpcServerProcess]:
    process = GrpcServerProcess(tmp_path)
    process.start()
    yield process
    process.kill()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_calls_share_a_connection(server: GrpcServer, sender: GrpcSender) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(reply_of(sender, request_of(server.address, raw_payload=RAW)))
    assert (len(server.calls), len(server.peers)) == (50, 1)


async def test_reflection_is_asked_once_by_all_who_wait_for_it(server: GrpcServer, sender: GrpcSender) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(reply_of(sender, request_of(server.address, payload="{}")))
    assert (len(server.calls), len(server.reflected)) == (50, 1)


async def test_all_who_wait_for_a_connection_hear_why_there_is_none(sender: GrpcSender) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(failure_of(sender, request_of("127.0.0.1:9"))) for _ in range(50)]
    assert {task.result().kind for task in tasks} == {FailureKind.CONNECT}


async def test_an_idle_connection_is_closed_and_made_again(server: GrpcServer) -> None:
    request = request_of(server.address, raw_payload=RAW)
    async with open_sender(idle=timedelta(milliseconds=50)) as sender:
        await reply_of(sender, request)
        await eventually(lambda: sender.connection_count == 0)
        await reply_of(sender, request)
    assert len(server.peers) == 2


async def test_the_least_recently_used_connection_goes_first(server: GrpcServer) -> None:
    async with open_sender(limit=1) as sender, GrpcServer() as other:
        for _ in range(2):
            await reply_of(sender, request_of(server.address, raw_payload=RAW))
            await reply_of(sender, request_of(other.address, raw_payload=RAW))
        assert sender.connection_count == 1
    assert (len(server.peers), len(other.peers)) == (2, 2)


async def test_a_call_under_way_outlives_the_place_of_its_connection(server: GrpcServer) -> None:
    async with open_sender(limit=1) as sender, GrpcServer() as other, asyncio.TaskGroup() as group:
        slow = group.create_task(sender.send(request_of(server.address, SLOW, raw_payload=RAW, timeout_s=30)))
        await server.orders.handled.wait()
        await reply_of(sender, request_of(other.address, raw_payload=RAW))
        assert not slow.done()
        server.orders.release.set()
        assert await slow == Reply(code=0)


async def test_a_connection_that_lost_its_place_is_closed_by_the_last_who_uses_it(server: GrpcServer) -> None:
    async with open_links(AnyAddress(), SystemClock(), limit=1) as links, GrpcServer() as other:
        first = [await links.take(plan_of(server.address).call.method.server, PATIENCE) for _ in range(2)]
        second = await links.take(plan_of(other.address).call.method.server, PATIENCE)
        assert isinstance(second, Link)
        for link in first:
            assert isinstance(link, Link)
            await eventually(lambda link=link: link.is_retired)  # type: ignore[misc]
            assert link.channel.get_state() is grpc.ChannelConnectivity.READY
            await links.give_back(link)
        assert first[0] is first[1]
        assert isinstance(first[0], Link)
        assert first[0].channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
        await links.give_back(second)


async def test_a_cancelled_attempt_takes_its_call_back(server: GrpcServer, sender: GrpcSender) -> None:
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(sender.send(request_of(server.address, SLOW, raw_payload=RAW, timeout_s=30)))
        await server.orders.handled.wait()
        slow.cancel()
    assert slow.cancelled()
    assert (await reply_of(sender, request_of(server.address, raw_payload=RAW))).code == 0
    assert len(server.peers) == 1


async def test_a_server_that_ends_politely_is_found_again(server: GrpcServer, sender: GrpcSender) -> None:
    request = request_of(server.address, raw_payload=RAW)
    for _ in range(3):
        await reply_of(sender, request)
        await server.stop()
        # A call that meets the end on its way may have been taken.
        assert (await failure_of(sender, request)).kind in {FailureKind.CONNECT, FailureKind.BROKEN}
        await server.start()
    assert (await reply_of(sender, request)).code == 0


async def test_a_server_that_drains_answers_what_it_has_and_gets_no_more(sender: GrpcSender) -> None:
    async with GrpcServer() as old, asyncio.TaskGroup() as group:
        slow = group.create_task(sender.send(request_of(old.address, SLOW, raw_payload=RAW, timeout_s=30)))
        await old.orders.handled.wait()
        stopping = group.create_task(old.stop(30))
        async with GrpcServer() as new:
            request = request_of(old.address, raw_payload=RAW)
            await eventually(lambda: not is_listening(old.port))
            # That the old one wants no more calls may not be known here yet: then it is the one who refuses.
            assert (await failure_of(sender, request)).kind in {FailureKind.CONNECT, FailureKind.BROKEN}
            await new.stop()
            new.port = old.port
            await new.start()
            assert (await reply_of(sender, request)).code == 0
            assert (len(old.calls), len(new.calls)) == (1, 1)
        assert not slow.done()
        old.orders.release.set()
        assert await slow == Reply(code=0)
        await stopping


async def test_nothing_that_was_answered_is_lost_when_a_server_is_killed(
    own_process: GrpcServerProcess, sender: GrpcSender
) -> None:
    plan = plan_of(own_process.address, payload='{"customer": "{{.ExecutionID}}"}', timeout_s=5)
    answered: set[str] = set()
    failures: list[Result] = []
    is_over = asyncio.Event()

    async def load(worker: int) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            facts = replace(FACTS, execution_id=f"e-{worker}-{number}")
            result = await sender.send(plan.request(facts))
            if isinstance(result, Reply) and result.code == Code.OK:
                answered.add(facts.execution_id)
            else:
                failures.append(result)

    async with asyncio.TaskGroup() as group:
        for worker in range(WORKERS):
            group.create_task(load(worker))
        for _ in range(3):
            before = len(answered)
            await eventually(lambda seen=before: len(answered) > seen + 100)  # type: ignore[misc]
            failed = len(failures)
            own_process.kill()
            await eventually(lambda seen=failed: len(failures) > seen + WORKERS)  # type: ignore[misc]
            await asyncio.to_thread(own_process.start)
        before = len(answered)
        await eventually(lambda: len(answered) > before + 100)
        is_over.set()

    assert answered <= own_process.execution_ids
    verdicts = [plan.judge(failure) for failure in failures]
    assert all(verdict.is_retryable for verdict in verdicts), {verdict.error for verdict in verdicts}
    assert any(verdict.is_unsent for verdict in verdicts)
    assert any(not verdict.is_unsent for verdict in verdicts)


async def test_what_counts_as_unsent_never_arrived(own_process: GrpcServerProcess, sender: GrpcSender) -> None:
    plan = plan_of(own_process.address, raw_payload=RAW, timeout_s=5)
    unsent: set[str] = set()

    async def send_until_dead() -> None:
        while True:
            facts = replace(FACTS, execution_id=str(uuid.uuid4()))
            if plan.judge(await sender.send(plan.request(facts))).is_unsent:
                unsent.add(facts.execution_id)
                return

    for _ in range(3):
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(send_until_dead())
            known = len(own_process.execution_ids)
            await eventually(lambda seen=known: len(own_process.execution_ids) > seen + 50)  # type: ignore[misc]
            own_process.kill()
        await asyncio.to_thread(own_process.start)
    assert len(unsent) >= WORKERS
    assert unsent.isdisjoint(own_process.execution_ids)
