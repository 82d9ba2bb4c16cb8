"""Requests to a NATS server, and a consumer of what arrived there, which is a client of NATS's own making."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import nats as client
from chronos.scheduler.v1 import nats_target_pb2
from nats.aio.msg import Msg

from libs.clock import SystemClock
from services.dispatcher.adapters.checked_addresses import Addresses, AnyAddress
from services.dispatcher.adapters.nats import NatsSender, open_nats_sender
from services.dispatcher.convert_targets.nats import read_nats
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.nats import NatsRequest
from tests.deliveries import TRACEPARENT
from tests.servers.nats import NatsServer

PATIENCE_SECONDS = 10
Target = nats_target_pb2.NatsTarget
FACTS = Facts(
    job_id="report",
    job_name='Büro "report"',
    namespace="default",
    execution_id="4f9f0000-0000-4000-8000-000000000001",
    scheduled_time=datetime(2026, 1, 1, 12, tzinfo=UTC),
    attempt=2,
    traceparent=TRACEPARENT,
    sent_at=datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC),
)


@asynccontextmanager
async def open_sender(addresses: Addresses | None = None, *, limit: int = 1024) -> AsyncIterator[NatsSender]:
    async with open_nats_sender(addresses or AnyAddress(), SystemClock(), max_response_bytes=limit) as sender:
        yield sender


def make_request(
    server: NatsServer,
    subject: str = "orders.created",
    *,
    timeout: timedelta = timedelta(seconds=5),
    contract: Contract | None = None,
    facts: Facts = FACTS,
    **fields: Any,
) -> NatsRequest:
    """What the dispatcher would send for such a target."""
    target = Target(**{"url": server.url, "subject": subject, "payload": '{"a": 1}', **fields})
    return read_nats(target, timeout=timeout, contract=contract or Contract()).request(facts)


async def received(sender: NatsSender, request: NatsRequest) -> Receipt:
    result = await sender.send(request)
    assert isinstance(result, Receipt), result
    return result


async def failed(sender: NatsSender, request: NatsRequest, kind: FailureKind) -> str:
    """The sentence of a failure, of which the kind must be this."""
    result = await sender.send(request)
    assert isinstance(result, Failure), result
    assert result.kind is kind, result
    return re.sub(r"127\.0\.0\.1:\d+", "SERVER", result.error)


class Consumer:
    """Hears one subject."""

    def __init__(self) -> None:
        self.messages: list[Msg] = []
        self._changed = asyncio.Event()

    async def take(self, message: Msg) -> None:
        self.messages.append(message)
        self._changed.set()

    async def wait_for(self, count: int) -> list[Msg]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.messages


@asynccontextmanager
async def consuming(
    server: NatsServer, subject: str, answer: Callable[[Msg], bytes] | None = None, **options: Any
) -> AsyncIterator[Consumer]:
    """Hears a subject, and answers where `answer` says what. The subscription is in force."""
    consumer = Consumer()

    async def take(message: Msg) -> None:
        await consumer.take(message)
        if answer is not None and message.reply:
            await message.respond(answer(message))

    async with await client.connect(server.url, **options) as connection:
        await connection.subscribe(subject, cb=take)
        # Its first PING may overtake the subscription, the second one cannot.
        await connection.flush()
        await connection.flush()
        yield consumer


@asynccontextmanager
async def streams(server: NatsServer) -> AsyncIterator[Any]:
    """The streams of a server."""
    async with await client.connect(server.url) as connection:
        yield connection.jetstream()
