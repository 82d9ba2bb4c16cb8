"""What a NATS server makes of our messages: taken, replied to, stored, or refused."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from services.dispatcher.adapters.checked_addresses import CheckedAddresses
from services.dispatcher.domain.addresses import AddressPolicy, parse_networks
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.signatures import qhronos_signature, standard_signature
from tests.contract.targets.nats_rig import (
    FACTS,
    consuming,
    failed,
    make_request,
    open_sender,
    received,
    streams,
)
from tests.deliveries import TRACEPARENT
from tests.servers.nats import NatsServer

SHORT = timedelta(milliseconds=150)
StartNats = Callable[..., NatsServer]


@pytest.fixture
def subject() -> str:
    """One that nobody else uses."""
    return f"t{uuid.uuid4().hex}.orders"


async def test_a_message_arrives_with_all_facts_of_its_delivery(nats: NatsServer, subject: str) -> None:
    contract = Contract(secrets=[b"k" * 24], qhronos_secret=b"q")
    request = make_request(
        nats,
        subject,
        contract=contract,
        payload='{"run": "{{.ExecutionID}}", "name": "{{.JobName}}"}',
        headers={"Team": "billing", "X-Chronos-Job-ID": "forged", "Nats-Msg-Id": "forged"},
        reply_subject="answers",
    )
    async with consuming(nats, subject) as consumer, open_sender() as sender:
        await received(sender, request)
        (message,) = await consumer.wait_for(1)
    assert message.data == b'{"run": "%s", "name": "B\\u00fcro \\"report\\""}' % FACTS.execution_id.encode()
    assert message.reply == "answers"
    assert message.headers == {
        "Team": "billing",
        "x-chronos-job-id": "report",
        "x-chronos-execution-id": FACTS.execution_id,
        "x-chronos-scheduled-time": "2026-01-01T12:00:00Z",
        "x-chronos-attempt": "2",
        "idempotency-key": FACTS.execution_id,
        "traceparent": TRACEPARENT,
        "webhook-id": FACTS.execution_id,
        "webhook-timestamp": "1767268801",
        "webhook-signature": standard_signature([b"k" * 24], FACTS.execution_id, "1767268801", message.data),
        "x-qhronos-signature": qhronos_signature(b"q", message.data),
    }


async def test_core_publishing_succeeds_whether_or_not_anybody_listens(nats: NatsServer, subject: str) -> None:
    async with open_sender() as sender:
        assert (await received(sender, make_request(nats, subject))).response == ""


async def test_many_at_once_all_arrive(nats: NatsServer, subject: str) -> None:
    async with consuming(nats, subject) as consumer, open_sender() as sender:
        async with asyncio.TaskGroup() as group:
            for number in range(500):
                group.create_task(received(sender, make_request(nats, subject, payload=str(number))))
        messages = await consumer.wait_for(500)
    assert sorted(int(message.data) for message in messages) == list(range(500))


async def test_a_reply_is_kept_as_the_answer(nats: NatsServer, subject: str) -> None:
    request = make_request(nats, subject, request_reply=True)
    async with consuming(nats, subject, lambda message: b"done: " + message.data), open_sender() as sender:
        receipt = await received(sender, request)
    assert (receipt.response, receipt.is_truncated) == ('done: {"a": 1}', False)


async def test_a_long_reply_is_cut(nats: NatsServer, subject: str) -> None:
    request = make_request(nats, subject, request_reply=True)
    async with consuming(nats, subject, lambda message: "é".encode() * 100), open_sender(limit=11) as sender:
        receipt = await received(sender, request)
    assert (receipt.response, receipt.is_truncated) == ("ééééé", True)


async def test_nobody_to_reply_fails_at_once(nats: NatsServer, subject: str) -> None:
    async with open_sender() as sender:
        error = await failed(sender, make_request(nats, subject, request_reply=True), FailureKind.UNREADY)
    assert error == f"nobody listens on {subject}, so there is no reply"


async def test_no_reply_in_time_is_a_timeout(nats: NatsServer, subject: str) -> None:
    request = make_request(nats, subject, request_reply=True, reply_timeout=SHORT)
    async with consuming(nats, subject), open_sender() as sender:
        error = await failed(sender, request, FailureKind.TIMEOUT)
    assert error == f"timed out after 150ms: no reply on {subject}"


async def test_a_stream_acknowledges_with_its_sequence_and_knows_repetitions(nats: NatsServer, subject: str) -> None:
    name = uuid.uuid4().hex
    async with streams(nats) as jetstream, open_sender() as sender:
        await jetstream.add_stream(name=name, subjects=[subject])
        request = make_request(nats, subject, jetstream={"enabled": True, "stream": name})
        assert (await received(sender, request)).response == f"stream {name}, sequence 1"
        assert (await received(sender, request)).response == f"stream {name}, sequence 1, duplicate"
        own = make_request(nats, subject, jetstream={"enabled": True, "message_id": "{{.JobID}}-{{.Attempt}}"})
        assert (await received(sender, own)).response == f"stream {name}, sequence 2"
        ids = [(await jetstream.get_msg(name, number)).headers["Nats-Msg-Id"] for number in (1, 2)]
    assert ids == [FACTS.execution_id, "report-2"]


async def test_a_stream_can_be_told_which_message_it_must_have_last(nats: NatsServer, subject: str) -> None:
    name = uuid.uuid4().hex
    first = {"enabled": True, "message_id": "one"}
    second = {"enabled": True, "message_id": "two", "expect_last_message_id": "one"}
    async with streams(nats) as jetstream, open_sender() as sender:
        await jetstream.add_stream(name=name, subjects=[subject])
        await received(sender, make_request(nats, subject, jetstream=first))
        await received(sender, make_request(nats, subject, jetstream=second))
        third = make_request(nats, subject, jetstream={**second, "message_id": "three"})
        error = await failed(sender, third, FailureKind.REFUSED)
    assert error == "the stream's last message is not the expected one (wrong last msg ID: two)"


async def test_what_no_stream_takes_is_refused(nats: NatsServer, subject: str) -> None:
    async with streams(nats) as jetstream, open_sender() as sender:
        error = await failed(sender, make_request(nats, subject, jetstream={"enabled": True}), FailureKind.REFUSED)
        assert error == f"no stream takes the subject {subject}; create one, or correct the subject"
        await jetstream.add_stream(name=uuid.uuid4().hex, subjects=[subject])
        other = make_request(nats, subject, jetstream={"enabled": True, "stream": "OTHER"})
        error = await failed(sender, other, FailureKind.REFUSED)
    expected = f"the subject {subject} belongs to another stream than OTHER (expected stream does not match)"
    assert error == expected


async def test_a_full_stream_may_take_it_later_and_a_message_too_large_for_it_never(
    nats: NatsServer, subject: str
) -> None:
    config = StreamConfig(
        name=uuid.uuid4().hex, subjects=[subject], max_msgs=1, discard=DiscardPolicy.NEW, max_msg_size=2_000
    )
    async with streams(nats) as jetstream, open_sender() as sender:
        await jetstream.add_stream(config)
        await received(sender, make_request(nats, subject, jetstream={"enabled": True}))
        more = make_request(nats, subject, jetstream={"enabled": True, "message_id": "2"})
        error = await failed(sender, more, FailureKind.UNREADY)
        assert error == "the stream did not store the message for now: maximum messages exceeded"
        large = make_request(nats, subject, payload="x" * 4_000, jetstream={"enabled": True, "message_id": "3"})
        error = await failed(sender, large, FailureKind.REFUSED)
        assert error == "the stream refused the message: message size exceeds maximum allowed"


async def test_a_server_without_jetstream_is_told(own_nats: StartNats) -> None:
    server = own_nats({})
    async with open_sender() as sender:
        error = await failed(sender, make_request(server, jetstream={"enabled": True}), FailureKind.REFUSED)
    assert error == "JetStream is not enabled there (nobody answers for it); enable it, or use core NATS"


async def test_somebody_who_answers_and_is_no_stream_is_told(nats: NatsServer, subject: str) -> None:
    request = make_request(nats, subject, jetstream={"enabled": True})
    async with consuming(nats, subject, lambda message: b"hello"), open_sender() as sender:
        error = await failed(sender, request, FailureKind.BROKEN)
    assert error == f"what answered on {subject} is no stream; correct the subject, or switch jetstream off"


async def test_a_message_larger_than_the_server_takes_is_refused_and_disturbs_nobody(own_nats: StartNats) -> None:
    server = own_nats({"max_payload": 2_000})
    async with open_sender() as sender:
        error = await failed(sender, make_request(server, payload="x" * 2_000), FailureKind.REFUSED)
        assert error.endswith(
            "bytes with its headers, and SERVER takes 2,000; send less, or raise the server's max_payload"
        )
        largest = 2_000 - int(error.split()[3].replace(",", "")) + 2_000
        async with consuming(server, "orders.>") as consumer:
            await received(sender, make_request(server, payload="x" * largest))
            assert len((await consumer.wait_for(1))[0].data) == largest
        await failed(sender, make_request(server, payload="x" * (largest + 1)), FailureKind.REFUSED)


async def test_a_forbidden_subject_is_told_and_what_goes_out_beside_it_succeeds(own_nats: StartNats) -> None:
    user = {"user": "u", "password": "p", "permissions": {"publish": ["orders.>"], "subscribe": ["none"]}}
    server = own_nats({"jetstream": {}, "authorization": {"users": [user]}})
    auth = {"user": {"username": "u", "password": "p"}}
    async with open_sender() as sender:
        mixed = [make_request(server, subject, auth=auth) for subject in ("orders.a", "secret", "orders.b") * 10]
        async with asyncio.TaskGroup() as group:
            results = [group.create_task(sender.send(request)) for request in mixed]
        kinds = [result.kind if isinstance(result := task.result(), Failure) else "taken" for task in results]
        assert kinds == ["taken", FailureKind.REFUSED, "taken"] * 10
        error = await failed(sender, mixed[1], FailureKind.REFUSED)
        assert error == (
            "SERVER does not let this user publish to secret; give it the permission, or use another subject"
        )
        error = await failed(sender, make_request(server, auth=auth, request_reply=True), FailureKind.REFUSED)
        assert "allow it _INBOX.>" in error


@pytest.mark.parametrize("manner", [{}, {"request_reply": True}, {"jetstream": {"enabled": True}}])
async def test_a_server_that_does_not_respond_times_out_and_is_left_for_a_new_connection(
    manner: dict[str, Any], own_nats: StartNats
) -> None:
    server = own_nats()
    async with open_sender() as sender:
        await sender.send(make_request(server, **manner))
        server.pause()
        error = await failed(sender, make_request(server, timeout=SHORT, **manner), FailureKind.TIMEOUT)
        server.resume()
        assert error == "timed out after 150ms: SERVER did not confirm the message"
        await received(sender, make_request(server))


async def test_a_connection_that_hears_no_replies_yet_is_left_too_and_nothing_was_sent(own_nats: StartNats) -> None:
    server = own_nats()
    async with open_sender() as sender, consuming(server, "orders.>", lambda message: b"done") as consumer:
        await received(sender, make_request(server))
        server.pause()
        error = await failed(sender, make_request(server, timeout=SHORT, request_reply=True), FailureKind.CONNECT)
        server.resume()
        assert error == "no connection to SERVER within 150ms"
        assert (await received(sender, make_request(server, request_reply=True))).response == "done"
        assert len(await consumer.wait_for(2)) == 2


async def test_nobody_at_the_address_is_told(own_nats: StartNats) -> None:
    server = own_nats()
    server.stop()
    async with open_sender() as sender:
        assert await failed(sender, make_request(server), FailureKind.CONNECT) == "connection refused by SERVER"


async def test_another_server_of_the_list_is_used_when_the_first_is_gone(nats: NatsServer, own_nats: StartNats) -> None:
    gone = own_nats()
    gone.stop()
    async with open_sender() as sender:
        await received(sender, make_request(nats, url=f"{gone.url},{nats.url}"))


async def test_a_name_that_does_not_resolve_is_told(nats: NatsServer) -> None:
    for addresses in (None, CheckedAddresses(AddressPolicy())):
        async with open_sender(addresses) as sender:
            error = await failed(sender, make_request(nats, url="nats://x.invalid"), FailureKind.NAME)
        assert error == "name x.invalid does not resolve"


async def test_what_speaks_another_protocol_is_told(nats: NatsServer) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other, open_sender() as sender:
        port = other.sockets[0].getsockname()[1]
        error = await failed(sender, make_request(nats, url=f"nats://127.0.0.1:{port}"), FailureKind.CONNECT)
    assert error.startswith("SERVER does not speak NATS")


async def test_one_who_says_nothing_gets_no_message(nats: NatsServer) -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as silent, open_sender() as sender:
        url = f"nats://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        error = await failed(sender, make_request(nats, url=url, timeout=SHORT), FailureKind.CONNECT)
    assert error == "no connection to SERVER within 150ms"


async def test_a_private_address_is_blocked_unless_its_network_is_allowed(nats: NatsServer) -> None:
    async with open_sender(CheckedAddresses(AddressPolicy())) as sender:
        for host in ("127.0.0.1", "localhost"):
            url = f"nats://{host}:{nats.port}"
            assert "is a private address" in await failed(sender, make_request(nats, url=url), FailureKind.BLOCKED)
    policy = AddressPolicy(allowed_networks=parse_networks(["127.0.0.0/8", "::1/128"]))
    async with open_sender(CheckedAddresses(policy)) as sender:
        await received(sender, make_request(nats, url=f"nats://localhost:{nats.port}"))
