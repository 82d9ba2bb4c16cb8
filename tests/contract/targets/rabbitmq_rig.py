"""Messages for RabbitMQ, and somebody who reads them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage

from libs.clock import SystemClock
from services.dispatcher.adapters.checked_addresses import Addresses, AnyAddress
from services.dispatcher.adapters.rabbitmq import RabbitmqSender, open_rabbitmq_sender
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.rabbitmq import Broker, Rabbitmq, RabbitmqRequest, compile_rabbitmq
from services.dispatcher.domain.targets.tls import Tls
from tests.deliveries import TRACEPARENT
from tests.servers.rabbitmq import USERS, RabbitmqServer

PATIENCE = timedelta(seconds=20)
SENT_AT = datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)
PLAIN = Contract()


def broker(server: RabbitmqServer, *, user: str = "guest", **changes: Any) -> Broker:
    """The broker as a user of it sees it."""
    values: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "username": user, "password": USERS[user]}
    return Broker(**values | changes)


def secure(server: RabbitmqServer, tls: Tls, host: str = "localhost") -> Broker:
    return broker(server, host=host, port=server.tls_port, tls=tls)


def make_request(
    to: Broker,
    *,
    execution_id: str = "",
    attempt: int = 1,
    timeout: timedelta = PATIENCE,
    contract: Contract = PLAIN,
    **target: Any,
) -> RabbitmqRequest:
    """What a job with that target publishes."""
    values: dict[str, Any] = {"payload": '{"run": "{{.ExecutionID}}"}'}
    plan = compile_rabbitmq(Rabbitmq(broker=to, **values | target), timeout=timeout, contract=contract)
    return plan.request(
        Facts(
            job_id="report",
            job_name="Büro",
            namespace="default",
            execution_id=execution_id or str(uuid.uuid4()),
            scheduled_time=datetime(2026, 1, 1, 12, 0, tzinfo=UTC),
            attempt=attempt,
            traceparent=TRACEPARENT,
            sent_at=SENT_AT,
        )
    )


@asynccontextmanager
async def open_sender(addresses: Addresses | None = None, *, ca_file: str = "") -> AsyncIterator[RabbitmqSender]:
    async with open_rabbitmq_sender(addresses or AnyAddress(), SystemClock(), ca_file=ca_file) as sender:
        yield sender


class Reader:
    """A consumer with queues of its own."""

    def __init__(self, channel: aiormq.abc.AbstractChannel) -> None:
        self.channel = channel

    async def queue(self, *, binding: tuple[str, str] | None = None, arguments: Any = None) -> str:
        """A new durable queue, bound to an exchange by a routing key if there is a binding."""
        name = f"q.{uuid.uuid4().hex}"
        await self.channel.queue_declare(name, durable=True, arguments=arguments)
        if binding is not None:
            await self.channel.queue_bind(name, binding[0], binding[1])
        return name

    async def exchange(self, kind: str = "topic") -> str:
        """A new exchange."""
        name = f"x.{uuid.uuid4().hex}"
        await self.channel.exchange_declare(name, exchange_type=kind, durable=True)
        return name

    async def take(self, queue: str) -> DeliveredMessage | None:
        """The next message of a queue; None when it is empty."""
        message = await self.channel.basic_get(queue, no_ack=True)
        return message if message.delivery_tag is not None else None

    async def take_all(self, queue: str) -> list[DeliveredMessage]:
        found = []
        while (message := await self.take(queue)) is not None:
            found.append(message)
        return found


@asynccontextmanager
async def open_reader(server: RabbitmqServer) -> AsyncIterator[Reader]:
    async with aiormq.connect(server.url().replace("//", "//guest:guest@")) as connection:
        yield Reader(await connection.channel())


async def receipt_of(sender: RabbitmqSender, request: RabbitmqRequest) -> Receipt:
    result = await sender.send(request)
    assert isinstance(result, Receipt), result
    return result


async def failure_of(sender: RabbitmqSender, request: RabbitmqRequest, kind: FailureKind) -> str:
    """The words of a failure of that kind."""
    result = await sender.send(request)
    assert isinstance(result, Failure), result
    assert result.kind is kind, result
    return result.error


async def send_all(sender: RabbitmqSender, requests: list[RabbitmqRequest]) -> list[Receipt | Failure]:
    """Sends them all at once."""
    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(sender.send(request)) for request in requests]
    return [task.result() for task in sending]
