"""A real RabbitMQ that dies, hangs, or has no room: what was confirmed is there, and the rest is told."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from libs.clock import SystemClock
from services.dispatcher.adapters.rabbitmq import RabbitmqSender
from services.dispatcher.adapters.rabbitmq_connection import MOST_UNSENT_BYTES
from services.dispatcher.domain.outcome import PERMANENT_KINDS
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.rabbitmq import RabbitmqRequest
from tests.contract.targets.rabbitmq_rig import (
    broker,
    failure_of,
    make_request,
    open_reader,
    open_sender,
    receipt_of,
    send_all,
)
from tests.eventually import eventually
from tests.servers.rabbitmq import RabbitmqServer

SHORT = timedelta(milliseconds=500)
WORKERS = 64
ENOUGH = 500


class Load:
    """Publishes one message after the other, in many workers, until told to stop."""

    def __init__(self, sender: RabbitmqSender, server: RabbitmqServer, queue: str) -> None:
        self._sender = sender
        self._to = broker(server)
        self._queue = queue
        self._is_over = False
        self._changed = asyncio.Event()
        self.confirmed: list[str] = []
        self.failures: list[Failure] = []

    async def work(self) -> None:
        while not self._is_over:
            request = make_request(self._to, queue=self._queue, timeout=timedelta(seconds=5))
            result = await self._sender.send(request)
            if isinstance(result, Receipt):
                self.confirmed.append(request.message_id)
            else:
                self.failures.append(result)
                await SystemClock().sleep(timedelta(milliseconds=50))
            self._changed.set()

    async def confirm(self, count: int) -> None:
        """Waits for as many more confirmations."""
        goal = len(self.confirmed) + count
        async with asyncio.timeout(60):
            while len(self.confirmed) < goal:
                self._changed.clear()
                await self._changed.wait()

    def stop(self) -> None:
        self._is_over = True


@asynccontextmanager
async def load_on(server: RabbitmqServer) -> AsyncIterator[Load]:
    async with open_reader(server) as reader:
        queue = await reader.queue()
    async with open_sender() as sender, asyncio.TaskGroup() as group:
        load = Load(sender, server, queue)
        for _ in range(WORKERS):
            group.create_task(load.work())
        try:
            yield load
        finally:
            load.stop()
    async with open_reader(server) as reader:
        there = {message.header.properties.message_id for message in await reader.take_all(queue)}
    assert set(load.confirmed) - there == set()


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.StreamWriter]:
    """The connections that are opened from now on."""
    opened: list[asyncio.StreamWriter] = []
    open_connection = asyncio.open_connection

    async def watch(*args: Any, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await open_connection(*args, **kwargs)
        opened.append(writer)
        return reader, writer

    monkeypatch.setattr(asyncio, "open_connection", watch)
    return opened


def unsent_bytes(writers: list[asyncio.StreamWriter]) -> int:
    """What waits to be sent."""
    return sum(writer.transport.get_write_buffer_size() for writer in writers)


async def test_nothing_that_was_confirmed_is_lost_when_the_broker_is_killed(own_rabbitmq: RabbitmqServer) -> None:
    async with load_on(own_rabbitmq) as load:
        await load.confirm(ENOUGH)
        own_rabbitmq.kill()
        await asyncio.to_thread(own_rabbitmq.start)
        await load.confirm(ENOUGH)
    kinds = {failure.kind for failure in load.failures}
    assert FailureKind.BROKEN in kinds
    assert kinds & PERMANENT_KINDS == set()


async def test_nothing_that_was_confirmed_is_lost_when_the_broker_is_restarted(own_rabbitmq: RabbitmqServer) -> None:
    async with load_on(own_rabbitmq) as load:
        await load.confirm(ENOUGH)
        await asyncio.to_thread(own_rabbitmq.stop)
        await asyncio.to_thread(own_rabbitmq.start)
        await load.confirm(ENOUGH)
    assert load.failures
    assert {failure.kind for failure in load.failures} & PERMANENT_KINDS == set()


async def test_a_broker_that_hangs_times_out_and_is_used_again_when_it_goes_on(own_rabbitmq: RabbitmqServer) -> None:
    async with open_reader(own_rabbitmq) as reader, open_sender() as sender:
        queue = await reader.queue()

        def request(timeout: timedelta = SHORT) -> RabbitmqRequest:
            return make_request(broker(own_rabbitmq), queue=queue, timeout=timeout, payload="x" * 100_000)

        await receipt_of(sender, request(timedelta(seconds=10)))
        os.kill(own_rabbitmq.pid, signal.SIGSTOP)
        # More than sockets and buffers hold, so that some do not even leave.
        results = await send_all(sender, [request() for _ in range(200)])
        assert {result.kind for result in results if isinstance(result, Failure)} == {FailureKind.TIMEOUT}
        assert len(results) == 200
        os.kill(own_rabbitmq.pid, signal.SIGCONT)
        await receipt_of(sender, request(timedelta(seconds=20)))


async def test_messages_that_could_not_leave_are_told_at_once_when_the_broker_dies(
    own_rabbitmq: RabbitmqServer, writers: list[asyncio.StreamWriter]
) -> None:
    async with open_reader(own_rabbitmq) as reader:
        queue = await reader.queue()
    async with open_sender() as sender:
        large: dict[str, Any] = {"queue": queue, "payload": "x" * 100_000}
        await receipt_of(sender, make_request(broker(own_rabbitmq), **large))
        os.kill(own_rabbitmq.pid, signal.SIGSTOP)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            requests = [make_request(broker(own_rabbitmq), timeout=timedelta(minutes=5), **large) for _ in range(200)]
            sending = group.create_task(send_all(sender, requests))
            await eventually(lambda: unsent_bytes(writers) > MOST_UNSENT_BYTES)
            own_rabbitmq.kill()
        assert {result.kind for result in sending.result() if isinstance(result, Failure)} == {FailureKind.BROKEN}
        assert len(sending.result()) == 200
        again = await failure_of(sender, requests[0], FailureKind.CONNECT)
        assert again == f"connection refused by 127.0.0.1:{own_rabbitmq.port}"


async def test_a_broker_without_memory_is_told_and_used_again_when_it_has_some(own_rabbitmq: RabbitmqServer) -> None:
    async with open_reader(own_rabbitmq) as reader, open_sender() as sender:
        queue = await reader.queue()

        def request(timeout: timedelta = timedelta(seconds=20)) -> RabbitmqRequest:
            return make_request(broker(own_rabbitmq), queue=queue, timeout=timeout)

        await receipt_of(sender, request())
        await asyncio.to_thread(own_rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "1024")
        # The broker says so only to those who publish; this one it does not read any more.
        late = await failure_of(sender, request(timedelta(seconds=2)), FailureKind.TIMEOUT)
        assert late.endswith("it is low on memory or disk, and takes messages only when that is over")
        early = await failure_of(sender, request(), FailureKind.UNREADY)
        assert early == (
            f"127.0.0.1:{own_rabbitmq.port} takes no messages now: it is low on memory or disk; free some there"
        )
        await asyncio.to_thread(own_rabbitmq.ctl, "set_vm_memory_high_watermark", "0.6")
        async with asyncio.timeout(20):
            while isinstance(await sender.send(request()), Failure):
                await SystemClock().sleep(timedelta(milliseconds=50))
