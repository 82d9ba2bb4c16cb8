"""Messages published to a real RabbitMQ: what arrives, and what the broker refuses."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.dispatcher.adapters.rabbitmq import RabbitmqSender
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.signatures import standard_signature
from services.dispatcher.domain.targets.rabbitmq import RabbitmqRequest
from tests.contract.targets.rabbitmq_rig import (
    SENT_AT,
    Reader,
    broker,
    failure_of,
    make_request,
    open_reader,
    open_sender,
    receipt_of,
    send_all,
)
from tests.deliveries import TRACEPARENT
from tests.servers.rabbitmq import LARGEST_MESSAGE, RabbitmqServer

SECRET = b"a secret of at least 24 bytes"


@pytest.fixture
async def sender() -> AsyncIterator[RabbitmqSender]:
    async with open_sender() as sender:
        yield sender


@pytest.fixture
async def reader(rabbitmq: RabbitmqServer) -> AsyncIterator[Reader]:
    async with open_reader(rabbitmq) as reader:
        yield reader


async def test_a_message_arrives_with_all_that_the_contract_says(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue = await reader.queue()
    request = make_request(
        broker(rabbitmq),
        queue=queue,
        execution_id="run-1",
        headers={"X-Team": "billing", "X-Chronos-Attempt": "99", "CC": "elsewhere"},
        contract=Contract(secrets=[SECRET]),
    )
    assert await receipt_of(sender, request) == Receipt(response=f"confirmed: queue {queue}")
    message = await reader.take(queue)
    assert message is not None
    assert message.body == b'{"run": "run-1"}'
    properties = message.header.properties
    timestamp = str(int(SENT_AT.timestamp()))
    assert properties.headers == {
        "X-Team": "billing",
        "x-chronos-job-id": "report",
        "x-chronos-execution-id": "run-1",
        "x-chronos-scheduled-time": "2026-01-01T12:00:00Z",
        "x-chronos-attempt": "1",
        "idempotency-key": "run-1",
        "traceparent": TRACEPARENT,
        "webhook-id": "run-1",
        "webhook-timestamp": timestamp,
        "webhook-signature": standard_signature([SECRET], "run-1", timestamp, message.body),
    }
    assert (properties.message_id, properties.message_type, properties.app_id) == ("run-1", "report", "chronos")
    assert (properties.content_type, properties.content_encoding) == ("application/json", None)
    assert (properties.delivery_mode, properties.priority, properties.expiration) == (2, None, None)
    assert properties.timestamp == SENT_AT


async def test_properties_that_a_job_sets_arrive(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue = await reader.queue()
    request = make_request(
        broker(rabbitmq), queue=queue, payload="x", content_type="text/plain", content_encoding="identity", priority=7,
        is_persistent=False, expiration=timedelta(minutes=1), message_id="{{.JobID}}/{{.Attempt}}",
    )  # fmt: skip
    await receipt_of(sender, request)
    message = await reader.take(queue)
    assert message is not None
    properties = message.header.properties
    assert (properties.content_type, properties.content_encoding) == ("text/plain", "identity")
    assert (properties.delivery_mode, properties.priority, properties.expiration) == (1, 7, "60000")
    assert properties.message_id == "report/1"


async def test_a_routing_key_may_hold_variables(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    exchange = await reader.exchange()
    queue = await reader.queue(binding=(exchange, "jobs.report.*"))
    request = make_request(broker(rabbitmq), exchange=exchange, routing_key="jobs.{{.JobID}}.{{.Attempt}}", attempt=3)
    receipt = await receipt_of(sender, request)
    assert receipt.response == f"confirmed: exchange {exchange}, routing key jobs.report.3"
    assert await reader.take(queue) is not None


async def test_a_message_of_many_frames_and_an_empty_one_arrive(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue = await reader.queue()
    for payload in ("x" * LARGEST_MESSAGE, ""):
        await receipt_of(sender, make_request(broker(rabbitmq), queue=queue, payload=payload))
    assert [len(message.body) for message in await reader.take_all(queue)] == [LARGEST_MESSAGE, 0]


async def test_many_messages_share_a_connection_and_a_channel(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue = await reader.queue()
    before = rabbitmq.ctl("list_connections", "pid", "channels").splitlines()
    results = await send_all(sender, [make_request(broker(rabbitmq), queue=queue) for _ in range(500)])
    assert {type(result) for result in results} == {Receipt}
    after = rabbitmq.ctl("list_connections", "pid", "channels").splitlines()
    (mine,) = set(after) - set(before)
    assert mine.split()[1] == "1"
    assert len({message.header.properties.message_id for message in await reader.take_all(queue)}) == 500


async def test_a_virtual_host_is_one_of_its_own(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue = await reader.queue()
    error = await failure_of(sender, make_request(broker(rabbitmq, vhost="orders"), queue=queue), FailureKind.UNREADY)
    assert error == f"there is no queue {queue} in the virtual host orders of 127.0.0.1:{rabbitmq.port}; declare it"


async def test_a_message_that_no_queue_takes_is_unready_and_dropped_only_when_asked_for(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    exchange = await reader.exchange()
    request = make_request(broker(rabbitmq), exchange=exchange, routing_key="nowhere")
    error = await failure_of(sender, request, FailureKind.UNREADY)
    assert error.startswith(f"no queue took the message: none is bound to exchange {exchange}, routing key nowhere")
    await receipt_of(sender, make_request(broker(rabbitmq), exchange=exchange, is_mandatory=False))


async def test_a_returned_message_fails_itself_and_not_another_of_its_message_id(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    exchange = await reader.exchange()
    queue = await reader.queue(binding=(exchange, "here"))
    keys = ["here", "nowhere", "here", "nowhere", "here"] * 10
    requests = [
        make_request(broker(rabbitmq), exchange=exchange, routing_key=key, message_id="always the same") for key in keys
    ]
    results = await send_all(sender, requests)
    assert [isinstance(result, Receipt) for result in results] == [key == "here" for key in keys]
    assert len(await reader.take_all(queue)) == keys.count("here")


async def test_an_unknown_exchange_fails_only_what_was_for_it(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue = await reader.queue()
    good = [make_request(broker(rabbitmq), queue=queue) for _ in range(300)]
    bad = [make_request(broker(rabbitmq), exchange="missing") for _ in range(30)]
    results = await send_all(sender, [*good[:150], *bad, *good[150:]])
    assert {type(result) for result in [*results[:150], *results[180:]]} == {Receipt}
    words = f"there is no exchange missing in the virtual host / of 127.0.0.1:{rabbitmq.port}; declare it"
    assert set(results[150:180]) == {Failure(kind=FailureKind.REFUSED, error=words)}
    assert len(await reader.take_all(queue)) == 300


async def test_an_exchange_that_goes_and_comes_back_is_told_and_used_again(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    exchange, queue = await reader.exchange("fanout"), await reader.queue()
    request = make_request(broker(rabbitmq), exchange=exchange, is_mandatory=False)
    await receipt_of(sender, request)
    await reader.channel.exchange_delete(exchange)
    results = await send_all(sender, [request, make_request(broker(rabbitmq), queue=queue)])
    assert isinstance(results[0], Failure)
    assert (results[0].kind, type(results[1])) == (FailureKind.REFUSED, Receipt)
    await failure_of(sender, request, FailureKind.REFUSED)
    await reader.channel.exchange_declare(exchange, exchange_type="fanout")
    await receipt_of(sender, request)


async def test_an_exchange_that_may_not_be_written_to_is_a_matter_of_credentials(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender
) -> None:
    allowed = make_request(broker(rabbitmq, user="writer"), exchange="allowed", is_mandatory=False)
    refused = make_request(broker(rabbitmq, user="reader"), exchange="allowed", is_mandatory=False)
    await receipt_of(sender, allowed)
    others = [make_request(refused.broker, exchange="allowed", is_mandatory=False) for _ in range(20)]
    results = await send_all(sender, [refused, refused, *others])
    assert [result.kind for result in results if isinstance(result, Failure)] == [FailureKind.CREDENTIALS] * 22, results
    error = await failure_of(sender, refused, FailureKind.CREDENTIALS)
    assert error.endswith(
        "the user reader publish there: access to exchange 'allowed' in vhost '/' refused for user 'reader'"
    )


async def test_a_topic_that_may_not_be_written_to_is_not_held_against_others(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender
) -> None:
    to = broker(rabbitmq, user="writer")

    def request(key: str) -> RabbitmqRequest:
        return make_request(to, exchange="amq.topic", routing_key=key, is_mandatory=False)

    results = await send_all(sender, [request(key) for key in ("open.a", "closed.b", "open.c")])
    assert isinstance(results[1], Failure)
    assert results[1].kind is FailureKind.CREDENTIALS
    others = {result.kind for result in (results[0], results[2]) if isinstance(result, Failure)}
    assert others <= {FailureKind.BROKEN}


async def test_a_message_that_is_too_large_is_refused_and_then_not_even_sent(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue = await reader.queue()
    large = make_request(broker(rabbitmq), queue=queue, payload="x" * (LARGEST_MESSAGE + 1))
    good = [make_request(broker(rabbitmq), queue=queue) for _ in range(20)]
    words = f"the message has 131,073 bytes, and 127.0.0.1:{rabbitmq.port} takes 131,072 (max_message_size)"
    results = await send_all(sender, [*good, large])
    assert results[-1] == Failure(kind=FailureKind.REFUSED, error=words)
    assert {result.kind for result in results[:-1] if isinstance(result, Failure)} <= {FailureKind.BROKEN}
    results = await send_all(sender, [large, *good, large])
    assert (results[0], results[-1]) == (Failure(kind=FailureKind.REFUSED, error=words),) * 2
    assert {type(result) for result in results[1:-1]} == {Receipt}


async def test_a_queue_that_is_full_and_refuses_is_worth_another_attempt(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue = await reader.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    await receipt_of(sender, make_request(broker(rabbitmq), queue=queue))
    error = await failure_of(sender, make_request(broker(rabbitmq), queue=queue), FailureKind.BROKEN)
    assert f"did not take the message (nack); is a queue of queue {queue} full or broken?" in error
    await reader.take_all(queue)
    await receipt_of(sender, make_request(broker(rabbitmq), queue=queue))


async def test_what_does_not_fit_into_amqp_is_invalid_and_harms_no_other(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, reader: Reader
) -> None:
    queue, to = await reader.queue(), broker(rabbitmq)
    bad = [
        make_request(to, exchange="amq.topic", routing_key="x" * 300),
        make_request(to, exchange="amq.topic", routing_key="ü" * 200),
        make_request(to, queue=queue, message_id="x" * 300),
        make_request(to, exchange="no*name"),
    ]
    results = await send_all(sender, [make_request(to, queue=queue), *bad, make_request(to, queue=queue)])
    kinds = [result.kind if isinstance(result, Failure) else None for result in results]
    assert kinds == [None, *[FailureKind.INVALID] * len(bad), None]


async def test_closing_lets_what_is_under_way_finish(rabbitmq: RabbitmqServer, reader: Reader) -> None:
    queue = await reader.queue()
    async with open_sender() as sender:
        results = await send_all(sender, [make_request(broker(rabbitmq), queue=queue) for _ in range(100)])
    assert {type(result) for result in results} == {Receipt}
