"""Calls of methods of real gRPC servers: what arrives, what comes back, and what goes wrong."""

import base64
import json
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest

from libs.signing_secrets import parse_secret
from services.dispatcher.adapters.checked_addresses import AnyAddress, CheckedAddresses
from services.dispatcher.adapters.grpc_sender import GrpcSender, open_grpc_sender
from services.dispatcher.domain.addresses import AddressPolicy, parse_networks
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.outcome import judge_failure
from services.dispatcher.domain.results import FailureKind, Reply
from services.dispatcher.domain.signatures import qhronos_signature, standard_signature
from tests.contract.targets.grpc_rig import FACTS, LIMIT, failure_of, open_sender, plan_of, reply_of, request_of
from tests.fakes.clock import FakeClock
from tests.servers.grpc import GrpcServer
from tests.servers.orders import BIG, BREAK, FAIL, PLACE, SERVICE, SLOW, WATCH, Order, descriptor_set


class Silent:
    """Takes connections, and says nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    async def __aenter__(self) -> "Silent":
        return self

    async def __aexit__(self, *error: object) -> None:
        self._socket.close()


SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    async with GrpcServer() as server:
        yield server


@pytest.fixture
async def sender() -> AsyncIterator[GrpcSender]:
    async with open_sender() as sender:
        yield sender


async def test_a_message_made_from_json_arrives_with_all_facts(server: GrpcServer, sender: GrpcSender) -> None:
    payload = """{"customer": "{{.JobName}}", "amountCents": 250, "items": [{"sku": "a", "count": {{.Attempt}}}],
        "due": "{{.ScheduledTime}}"}"""
    contract = Contract(secrets=(parse_secret(SECRET),), qhronos_secret=b"old")
    metadata = {"X-Team": "billing", "key-bin": "AAH/", "x-chronos-attempt": "99", "Traceparent": "mine"}
    request = request_of(server.address, payload=payload, metadata=metadata, contract=contract)
    assert await sender.send(request) == Reply(
        code=0, body='{"orderId": "order of Büro \\"report\\"", "amountCents": 250}'
    )

    (call,) = server.calls
    order = Order.FromString(call.request)
    assert (call.path, order.customer, order.amount_cents) == (PLACE, FACTS.job_name, 250)
    assert (order.items[0].sku, order.items[0].count, order.due.ToDatetime(FACTS.scheduled_time.tzinfo)) == (
        "a", 2, FACTS.scheduled_time,
    )  # fmt: skip
    timestamp = str(int(FACTS.sent_at.timestamp()))
    sent = dict(call.metadata)
    assert "Chronos" in str(sent.pop("user-agent"))
    assert sent == {
        "x-chronos-job-id": "report",
        "x-chronos-execution-id": "e-1",
        "x-chronos-scheduled-time": "2026-01-01T12:00:00Z",
        "x-chronos-attempt": "2",
        "idempotency-key": "e-1",
        "traceparent": FACTS.traceparent,
        "webhook-id": "e-1",
        "webhook-timestamp": timestamp,
        "webhook-signature": standard_signature(contract.secrets, "e-1", timestamp, call.request),
        "x-qhronos-signature": qhronos_signature(b"old", call.request),
        "x-team": "billing",
        "key-bin": b"\x00\x01\xff",
    }


async def test_the_server_hears_how_much_time_it_has(server: GrpcServer, sender: GrpcSender) -> None:
    await reply_of(sender, request_of(server.address, timeout_s=7))
    assert 6 < server.calls[0].seconds_left <= 7


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_types_come_from_either_version_of_reflection(version: str, sender: GrpcSender) -> None:
    async with GrpcServer(reflection=[version]) as server:
        reply = await reply_of(sender, request_of(server.address, payload='{"customer": "ann"}'))
    assert json.loads(reply.body) == {"orderId": "order of ann"}


async def test_reflection_is_asked_once_and_with_the_metadata_of_the_job(
    server: GrpcServer, sender: GrpcSender
) -> None:
    request = request_of(server.address, payload="{}", metadata={"authorization": "Bearer t"})
    for _ in range(3):
        await reply_of(sender, request)
    (metadata,) = server.reflected
    assert metadata["authorization"] == "Bearer t"
    assert "x-chronos-job-id" not in metadata
    await reply_of(sender, request_of(server.address, payload="{}", metadata={"authorization": "Bearer other"}))
    assert (len(server.calls), len(server.reflected)) == (4, 2)


async def test_the_files_of_a_server_that_tells_one_at_a_time_are_collected(sender: GrpcSender) -> None:
    async with GrpcServer(is_terse=True) as server:
        reply = await reply_of(sender, request_of(server.address, payload='{"customer": "ann"}'))
        # Once for the service, and once for the file that it imports: Google's own come with the library.
        assert len(server.reflected) == 2
    assert json.loads(reply.body) == {"orderId": "order of ann"}


async def test_a_descriptor_set_makes_reflection_unnecessary(sender: GrpcSender) -> None:
    async with GrpcServer(reflection=()) as server:
        request = request_of(server.address, payload='{"customer": "ann"}', descriptor_set=descriptor_set())
        assert json.loads((await reply_of(sender, request)).body) == {"orderId": "order of ann"}


async def test_raw_bytes_go_as_they_are_and_come_back_in_base64(sender: GrpcSender) -> None:
    async with GrpcServer(reflection=()) as server:
        order = Order(customer="ann").SerializeToString()
        reply = await reply_of(sender, request_of(server.address, raw_payload=order))
        assert server.calls[0].request == order
    assert b"order of ann" in base64.b64decode(reply.body)


async def test_an_empty_message_needs_no_types(sender: GrpcSender) -> None:
    async with GrpcServer(reflection=()) as server:
        reply = await reply_of(sender, request_of(server.address))
        assert server.calls[0].request == b""
    assert b"order of " in base64.b64decode(reply.body)


async def test_without_types_a_payload_cannot_be_sent(sender: GrpcSender) -> None:
    async with GrpcServer(reflection=()) as server:
        failure = await failure_of(sender, request_of(server.address, payload="{}"))
        assert server.calls == []
    assert failure.kind is FailureKind.INVALID
    words = f"{server.address} has no reflection, which would tell the types of {PLACE}"
    assert failure.error == f"{words}; give descriptor_set, or raw_payload"


@pytest.mark.parametrize(
    ("code", "kind", "is_retryable"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, FailureKind.CREDENTIALS, False),
        (grpc.StatusCode.PERMISSION_DENIED, FailureKind.CREDENTIALS, False),
        (grpc.StatusCode.UNAVAILABLE, FailureKind.UNREADY, True),
    ],
)
async def test_a_server_that_does_not_tell_its_types_is_not_called(
    code: grpc.StatusCode, kind: FailureKind, is_retryable: bool, server: GrpcServer, sender: GrpcSender
) -> None:
    server.reflection_code = code
    failure = await failure_of(sender, request_of(server.address, payload="{}"))
    verdict = judge_failure(failure)
    assert (failure.kind, verdict.is_retryable, verdict.is_unsent) == (kind, is_retryable, True)
    assert f"{code.name}: not for you" in failure.error
    assert server.calls == []
    server.reflection_code = grpc.StatusCode.OK
    assert (await reply_of(sender, request_of(server.address, payload="{}"))).code == 0


async def test_a_server_that_is_slow_to_tell_its_types_is_certainly_not_called(
    server: GrpcServer, sender: GrpcSender
) -> None:
    server.may_reflect.clear()
    failure = await failure_of(sender, request_of(server.address, payload="{}", timeout_s=0.2))
    assert failure.kind is FailureKind.UNREADY
    assert failure.error == (f"{server.address} did not tell its types within 200ms; give descriptor_set to do without")
    assert judge_failure(failure).is_unsent
    server.may_reflect.set()
    assert (await reply_of(sender, request_of(server.address, payload="{}"))).code == 0


async def test_what_the_reflection_said_is_forgotten_after_a_while(server: GrpcServer) -> None:
    clock = FakeClock()
    async with open_grpc_sender(AnyAddress(), clock, max_response_bytes=LIMIT) as sender:
        for minutes in (0, 2, 2, 2):
            await clock.advance(timedelta(minutes=minutes))
            await reply_of(sender, request_of(server.address, payload="{}"))
    assert (len(server.calls), len(server.reflected)) == (4, 2)


async def test_a_payload_that_does_not_fit_says_where(server: GrpcServer, sender: GrpcSender) -> None:
    payload = '{"items": [{"sku": "a"}, {"sko": "b"}]}'
    failure = await failure_of(sender, request_of(server.address, payload=payload))
    assert failure.kind is FailureKind.INVALID
    assert failure.error.startswith("the payload does not fit shop.v1.Order: ")
    assert '"sko" at "Order.items[1]"' in failure.error
    assert server.calls == []


async def test_a_payload_that_does_not_fit_types_known_before_has_the_server_asked_again(
    server: GrpcServer, sender: GrpcSender
) -> None:
    await reply_of(sender, request_of(server.address, payload="{}"))
    asked = len(server.reflected)
    assert (await failure_of(sender, request_of(server.address, payload='{"x": 1}'))).kind is FailureKind.INVALID
    assert len(server.reflected) == 2 * asked


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (f"/{SERVICE}/Plaice", f"has no method Plaice in {SERVICE}; there are Big, Break, Fail, Place, Slow, Watch"),
        ("/shop.v1.Nobody/Place", "does not know the service shop.v1.Nobody"),
        (WATCH, f"says that {WATCH} streams; only unary methods can be called"),
    ],
)
async def test_a_method_that_cannot_be_called_is_refused_for_good(
    method: str, words: str, server: GrpcServer, sender: GrpcSender
) -> None:
    failure = await failure_of(sender, request_of(server.address, method, payload="{}"))
    assert failure.kind is FailureKind.REFUSED
    assert words in failure.error
    assert not judge_failure(failure).is_retryable


async def test_a_method_that_the_server_lacks_is_unimplemented(server: GrpcServer, sender: GrpcSender) -> None:
    plan = plan_of(server.address, "/shop.v1.Nobody/Place", raw_payload=b"\x0a\x00")
    verdict = plan.judge(await sender.send(plan.request(FACTS)))
    assert (verdict.status_code, verdict.is_retryable) == (12, False)
    assert verdict.error == "answered UNIMPLEMENTED: Method not found!"


@pytest.mark.parametrize(
    ("code", "is_retryable"),
    [
        ("UNAVAILABLE", True), ("RESOURCE_EXHAUSTED", True), ("ABORTED", True), ("DEADLINE_EXCEEDED", True),
        ("INVALID_ARGUMENT", False), ("NOT_FOUND", False), ("INTERNAL", False), ("UNAUTHENTICATED", False),
        ("PERMISSION_DENIED", False), ("FAILED_PRECONDITION", False), ("CANCELLED", False), ("UNKNOWN", False),
    ],
)  # fmt: skip
async def test_the_status_decides_whether_there_is_another_attempt(
    code: str, is_retryable: bool, server: GrpcServer, sender: GrpcSender
) -> None:
    note = base64.b64encode(b"no luck").decode()
    plan = plan_of(server.address, FAIL, payload=json.dumps({"customer": code, "note": note}))
    verdict = plan.judge(await sender.send(plan.request(FACTS)))
    assert (verdict.is_success, verdict.is_retryable, verdict.is_unsent) == (False, is_retryable, False)
    assert (verdict.status_code, verdict.error) == (
        grpc.StatusCode[code].value[0],
        f"answered {code}: no luck",
    )
    assert not verdict.is_timeout


@pytest.mark.parametrize(
    "words", ["failed to connect to all addresses; last error: Connection refused", "Socket closed", "errors resolving"]
)
async def test_a_server_that_passes_on_the_words_of_a_broken_connection_is_not_taken_for_unreached(
    words: str, server: GrpcServer, sender: GrpcSender
) -> None:
    note = base64.b64encode(words.encode()).decode()
    plan = plan_of(server.address, FAIL, payload=json.dumps({"customer": "UNAVAILABLE", "note": note}))
    verdict = plan.judge(await sender.send(plan.request(FACTS)))
    assert (verdict.is_retryable, verdict.is_unsent) == (True, False)


async def test_a_slow_method_times_out(server: GrpcServer, sender: GrpcSender) -> None:
    failure = await failure_of(sender, request_of(server.address, SLOW, raw_payload=b"\x0a\x00", timeout_s=0.2))
    assert failure.kind is FailureKind.TIMEOUT
    assert failure.error == "timed out after 200ms"
    verdict = judge_failure(failure)
    assert (verdict.is_timeout, verdict.is_retryable, verdict.is_unsent) == (True, True, False)


async def test_an_answer_that_is_too_large_fails_for_good(server: GrpcServer, sender: GrpcSender) -> None:
    plan = plan_of(server.address, BIG)
    verdict = plan.judge(await sender.send(plan.request(FACTS)))
    assert (verdict.is_success, verdict.is_retryable, verdict.status_code) == (False, False, 8)
    assert "the answer is larger than 4,194,304 bytes; let the method answer with less" in verdict.error


async def test_a_request_that_is_too_large_for_the_server_fails_for_good(sender: GrpcSender) -> None:
    async with GrpcServer(options=[("grpc.max_receive_message_length", 1000)]) as server:
        plan = plan_of(server.address, raw_payload=b"\x0a\x00" * 1000)
        verdict = plan.judge(await sender.send(plan.request(FACTS)))
    assert (verdict.is_retryable, verdict.status_code) == (False, 8)
    assert "larger than max (2000 vs. 1000)" in verdict.error


async def test_an_answer_of_another_type_is_kept_in_base64(server: GrpcServer, sender: GrpcSender) -> None:
    reply = await reply_of(sender, request_of(server.address, BREAK, payload="{}"))
    assert (reply.code, base64.b64decode(reply.body)) == (0, b"\xff\xff\xff")


async def test_a_long_answer_is_cut_between_characters(server: GrpcServer, sender: GrpcSender) -> None:
    note = base64.b64encode("é".encode() * LIMIT).decode()
    reply = await reply_of(sender, request_of(server.address, payload=json.dumps({"note": note})))
    assert reply.is_truncated
    assert reply.body.endswith("éé")
    assert LIMIT - 1 <= len(reply.body.encode()) <= LIMIT


async def test_a_long_raw_answer_is_cut_to_whole_groups(server: GrpcServer, sender: GrpcSender) -> None:
    order = Order(note=b"x" * 5000).SerializeToString()
    reply = await reply_of(sender, request_of(server.address, raw_payload=order))
    assert reply.is_truncated
    assert len(reply.body) == LIMIT
    assert len(base64.b64decode(reply.body)) == LIMIT // 4 * 3


async def test_nobody_there_is_certainly_unsent(sender: GrpcSender) -> None:
    failure = await failure_of(sender, request_of("127.0.0.1:9"))
    assert failure.kind is FailureKind.CONNECT
    assert failure.error == "127.0.0.1:9 refuses connections: nothing listens there"
    assert judge_failure(failure).is_unsent


async def test_an_unknown_name_is_certainly_unsent(sender: GrpcSender) -> None:
    failure = await failure_of(sender, request_of("nowhere.invalid:443"))
    assert failure.kind is FailureKind.NAME
    assert failure.error == "name nowhere.invalid does not resolve"


@pytest.mark.parametrize("address", ["127.0.0.1:9", "localhost:9", "[::1]:9", "10.1.2.3:443"])
async def test_a_private_address_is_blocked(address: str) -> None:
    async with open_sender(CheckedAddresses(AddressPolicy())) as sender:
        failure = await failure_of(sender, request_of(address))
    assert failure.kind is FailureKind.BLOCKED


async def test_what_is_allowed_is_reached_by_its_own_name(server: GrpcServer) -> None:
    policy = AddressPolicy(allowed_networks=parse_networks(["127.0.0.0/8", "::1/128"]))
    async with open_sender(CheckedAddresses(policy)) as sender:
        reply = await reply_of(sender, request_of(f"localhost:{server.port}", payload='{"customer": "ann"}'))
    assert json.loads(reply.body) == {"orderId": "order of ann"}


async def test_a_job_that_no_longer_can_be_called_says_why() -> None:
    with pytest.raises(ValueError, match="the address must be host:port"):
        plan_of("nowhere")
    with pytest.raises(ValueError, match="descriptor_set has no service"):
        plan_of("a:1", "/a.B/C", descriptor_set=descriptor_set())


async def test_the_timeout_includes_the_connection() -> None:
    async with open_sender() as sender, Silent() as silent:
        failure = await failure_of(sender, request_of(f"127.0.0.1:{silent.port}", timeout_s=0.2))
    assert failure.kind is FailureKind.CONNECT
    assert failure.error.startswith(f"no connection to 127.0.0.1:{silent.port} within 200ms")
