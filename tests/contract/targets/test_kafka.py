"""What the delivery loop may expect of Kafka: a real broker takes records, refuses them, or is not there."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from services.dispatcher.adapters.checked_addresses import CheckedAddresses
from services.dispatcher.domain.addresses import AddressPolicy, parse_networks
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.results import FailureKind, Receipt
from services.dispatcher.domain.targets.kafka import (
    Acks,
    Broker,
    Compression,
    Kafka,
    KafkaLink,
    compile_kafka,
)
from tests.contract.targets.kafka_rig import (
    accepted,
    delete_topic,
    link_to,
    make_request,
    make_topic,
    open_sender,
    read_topic,
    refused,
)
from tests.servers.kafka import ELSEWHERE, KafkaServer

FACTS = Facts(
    job_id="report",
    job_name="Büro",
    namespace="default",
    execution_id="018f-execution",
    scheduled_time=datetime(2026, 1, 1, 12, tzinfo=UTC),
    attempt=2,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    sent_at=datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC),
)


@pytest.fixture
async def topic(kafka: KafkaServer) -> str:
    return await make_topic(kafka)


async def test_a_record_carries_the_whole_contract(kafka: KafkaServer, topic: str) -> None:
    target = Kafka(
        link=link_to(kafka),
        topic=topic,
        key="{{.JobID}}/{{.ExecutionID}}",
        payload='{"job": "{{.JobName}}", "attempt": {{.Attempt}}}',
        headers={"Team": "payments", "X-Chronos-Attempt": "99"},
    )
    plan = compile_kafka(target, timeout=timedelta(seconds=20), contract=Contract(secrets=[b"x" * 24]))
    async with open_sender() as sender:
        assert accepted(await sender.send(plan.request(FACTS))) == "partition 0, offset 0"
    (record,) = await read_topic(kafka, topic)
    assert (record.key, record.value) == (b"report/018f-execution", b'{"job": "B\\u00fcro", "attempt": 2}')
    signature = record.headers["webhook-signature"]
    assert signature.startswith("v1,")
    assert record.headers == {
        "Team": "payments",
        "content-type": "application/json",
        "x-chronos-job-id": "report",
        "x-chronos-execution-id": "018f-execution",
        "x-chronos-scheduled-time": "2026-01-01T12:00:00Z",
        "x-chronos-attempt": "2",
        "idempotency-key": "018f-execution",
        "traceparent": FACTS.traceparent,
        "webhook-id": "018f-execution",
        "webhook-timestamp": "1767268801",
        "webhook-signature": signature,
    }


@pytest.mark.parametrize("compression", list(Compression))
async def test_compressed_records_arrive_as_they_were(kafka: KafkaServer, topic: str, compression: Compression) -> None:
    async with open_sender() as sender:
        request = make_request(link_to(kafka, compression=compression), topic, b"chronos " * 500)
        assert accepted(await sender.send(request)) == "partition 0, offset 0"
    assert [record.value for record in await read_topic(kafka, topic)] == [b"chronos " * 500]


@pytest.mark.parametrize(
    ("acks", "response"),
    [
        (Acks.ALL, "partition 0, offset 0"),
        (Acks.LEADER, "partition 0, offset 0"),
        (Acks.NONE, "partition 0, not acknowledged"),
    ],
)
async def test_the_receipt_says_what_was_acknowledged(
    kafka: KafkaServer, topic: str, acks: Acks, response: str
) -> None:
    async with open_sender() as sender:
        link = link_to(kafka, acks=acks, is_idempotent=False)
        assert accepted(await sender.send(make_request(link, topic))) == response
        # On the same connection, the broker answers in order: what came before is there.
        accepted(await sender.send(make_request(link_to(kafka), topic)))
    async with asyncio.timeout(10):
        while len(await read_topic(kafka, topic)) < 2:
            pass


async def test_many_records_at_once_arrive_once_each_with_their_own_offsets(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka, partitions=3)
    async with open_sender() as sender:
        requests = [make_request(link_to(kafka), topic, str(number).encode()) for number in range(500)]
        async with asyncio.TaskGroup() as group:
            sends = [group.create_task(sender.send(request)) for request in requests]
    receipts = {accepted(task.result()): str(number).encode() for number, task in enumerate(sends)}
    records = await read_topic(kafka, topic, partitions=3)
    assert {f"partition {each.partition}, offset {each.offset}": each.value for each in records} == receipts
    assert len(receipts) == 500


async def test_records_of_one_key_go_to_one_partition_and_those_of_a_partition_there(kafka: KafkaServer) -> None:
    topic, link = await make_topic(kafka, partitions=3), link_to(kafka)
    async with open_sender() as sender:
        keyed = {accepted(await sender.send(make_request(link, topic, key=b"k"))).partition(",")[0] for _ in range(5)}
        assert len(keyed) == 1
        assert accepted(await sender.send(make_request(link, topic, partition=2))).startswith("partition 2,")
        unkeyed = {accepted(await sender.send(make_request(link, topic))).partition(",")[0] for _ in range(30)}
        assert len(unkeyed) == 3


async def test_an_unknown_topic_or_partition_is_refused(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        missing = await sender.send(make_request(link_to(kafka), "no-such-topic"))
        assert refused(missing, FailureKind.REFUSED) == "topic no-such-topic does not exist; create it"
        out_of_range = await sender.send(make_request(link_to(kafka), topic, partition=7))
        assert "so no partition 7" in refused(out_of_range, FailureKind.REFUSED)


async def test_a_topic_that_is_made_later_is_found(kafka: KafkaServer) -> None:
    async with open_sender() as sender:
        topic = await make_topic(kafka)
        accepted(await sender.send(make_request(link_to(kafka), topic)))
        await delete_topic(kafka, topic)
        again = make_request(link_to(kafka, acks=Acks.LEADER, is_idempotent=False), topic)
        async with asyncio.timeout(20):
            while isinstance(await sender.send(again), Receipt):
                pass
        refused(await sender.send(again), FailureKind.REFUSED)


async def test_a_record_that_is_too_large_is_refused_and_its_neighbours_are_not(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka, max_message_bytes="2000")
    async with open_sender() as sender:
        values = [b"x" * 200] * 20 + [b"y" * 4000] + [b"z" * 200] * 20
        async with asyncio.TaskGroup() as group:
            sends = [group.create_task(sender.send(make_request(link_to(kafka), topic, value))) for value in values]
    results = [task.result() for task in sends]
    assert "larger than partition 0" in refused(results[20], FailureKind.REFUSED)
    for result in results[:20] + results[21:]:
        accepted(result)
    assert len(await read_topic(kafka, topic)) == 40


async def test_a_compacted_topic_refuses_records_without_a_key_and_takes_their_neighbours(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka, cleanup_policy="compact")
    async with open_sender() as sender, asyncio.TaskGroup() as group:
        with_key = group.create_task(sender.send(make_request(link_to(kafka), topic, key=b"k")))
        without = group.create_task(sender.send(make_request(link_to(kafka), topic)))
    accepted(with_key.result())
    assert "lack the key" in refused(without.result(), FailureKind.REFUSED)


async def test_nobody_there_is_a_failed_connection(kafka: KafkaServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        link = KafkaLink(brokers=(Broker("127.0.0.1", unused.getsockname()[1]),))
        async with open_sender() as sender:
            error = refused(await sender.send(make_request(link, "any")), FailureKind.CONNECT)
    assert error == f"connection refused by {link.brokers[0]}"


async def test_an_unknown_host_does_not_resolve(kafka: KafkaServer) -> None:
    async with open_sender() as sender:
        link = KafkaLink(brokers=(Broker("no-such-host.invalid", 9092),))
        error = refused(await sender.send(make_request(link, "any")), FailureKind.NAME)
    assert error == "name no-such-host.invalid does not resolve"


async def test_the_next_broker_is_asked_when_the_first_is_not_there(kafka: KafkaServer, topic: str) -> None:
    link = link_to(kafka)
    async with open_sender() as sender:
        both = KafkaLink(brokers=(Broker("no-such-host.invalid", 9092), *link.brokers))
        accepted(await sender.send(make_request(both, topic)))


async def test_something_else_than_kafka_is_a_failed_connection(kafka: KafkaServer) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, open_sender() as sender:
        link = KafkaLink(brokers=(Broker("127.0.0.1", server.sockets[0].getsockname()[1]),))
        refused(await sender.send(make_request(link, "any")), FailureKind.CONNECT)


def checked(*networks: str) -> CheckedAddresses:
    return CheckedAddresses(AddressPolicy(allowed_networks=parse_networks(networks)))


async def test_a_private_broker_is_blocked(kafka: KafkaServer, topic: str) -> None:
    async with open_sender(checked()) as sender:
        for broker in (link_to(kafka).brokers[0], Broker("localhost", 9092)):
            error = refused(await sender.send(make_request(KafkaLink(brokers=(broker,)), topic)), FailureKind.BLOCKED)
            assert "private address" in error


async def test_a_private_address_that_a_broker_advertises_is_blocked(kafka: KafkaServer, topic: str) -> None:
    async with open_sender(checked("127.0.0.0/8")) as sender:
        accepted(await sender.send(make_request(link_to(kafka), topic)))
        error = refused(await sender.send(make_request(link_to(kafka, "elsewhere"), topic)), FailureKind.BLOCKED)
    assert error.startswith(ELSEWHERE.partition(":")[0])
    assert len(await read_topic(kafka, topic)) == 1


@pytest.fixture
async def paused(own_kafka: KafkaServer) -> AsyncIterator[KafkaServer]:
    yield own_kafka
    own_kafka.resume()


async def test_a_broker_that_hangs_is_a_timeout_and_what_had_not_left_never_leaves(paused: KafkaServer) -> None:
    topic, link = await make_topic(paused), link_to(paused)
    async with open_sender() as sender:
        accepted(await sender.send(make_request(link, topic, b"before")))
        paused.pause()
        sent = await sender.send(make_request(link, topic, b"sent", timeout=timedelta(milliseconds=300)))
        assert refused(sent, FailureKind.TIMEOUT).startswith("timed out after 300ms without an acknowledgement")
        # The lane is taken by the first one.
        waiting = await sender.send(make_request(link, topic, b"waiting", timeout=timedelta(milliseconds=300)))
        assert "before the record could go out" in refused(waiting, FailureKind.CONNECT)
        paused.resume()
        accepted(await sender.send(make_request(link, topic, b"after")))
    values = [record.value for record in await read_topic(paused, topic)]
    assert values == [b"before", b"sent", b"after"]


async def test_a_cancelled_send_leaves_nothing_behind(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        accepted(await sender.send(make_request(link_to(kafka), topic, b"first")))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(sender.send(make_request(link_to(kafka), topic, b"cancelled")))
            await asyncio.sleep(0)
            task.cancel()
        accepted(await sender.send(make_request(link_to(kafka), topic, b"last")))
    assert [record.value for record in await read_topic(kafka, topic)] == [b"first", b"last"]


async def test_it_speaks_to_a_name_as_well_as_to_an_address(kafka: KafkaServer, topic: str) -> None:
    port = link_to(kafka).brokers[0].port
    async with open_sender(checked("127.0.0.0/8", "::1/128")) as sender:
        link = KafkaLink(brokers=(Broker("localhost", port),))
        accepted(await sender.send(make_request(link, topic)))
