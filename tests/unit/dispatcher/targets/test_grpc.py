"""The call that a gRPC target becomes, what its errors mean, and what the answer means."""

import base64
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from chronos.scheduler.v1 import grpc_target_pb2, target_tls_pb2

from libs.redaction import MASK
from services.dispatcher.adapters.grpc_errors import not_connected, read_status
from services.dispatcher.convert_targets.grpc import read_grpc
from services.dispatcher.domain.breaker import Sign
from services.dispatcher.domain.cloud_events import CloudEvent
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.outcome import UNSENT_KINDS
from services.dispatcher.domain.results import Answer, Failure, FailureKind, Reply
from services.dispatcher.domain.targets.grpc import GrpcPlan, GrpcServer
from services.dispatcher.domain.targets.grpc_codes import RETRYABLE_CODES, Code, judge
from services.dispatcher.domain.targets.plan import Shown
from services.dispatcher.domain.targets.tls import Tls

Target = grpc_target_pb2.GrpcTarget
TIMEOUT = timedelta(seconds=3)
FACTS = Facts(
    job_id="report",
    job_name='Büro "report"',
    namespace="default",
    execution_id="e-1",
    scheduled_time=datetime(2026, 1, 1, 12, tzinfo=UTC),
    attempt=1,
    traceparent="00-a-b-01",
    sent_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
)
SERVER = GrpcServer(host="a.example", port=443)
SECURE = GrpcServer(host="a.example", port=443, tls=Tls())


def plan_of(**target: Any) -> GrpcPlan:
    message = Target(**{"address": "Billing.example:443", "method": "/a.b.C/Do", **target})
    return read_grpc(message, timeout=TIMEOUT, contract=Contract())


def test_the_ledger_shows_the_call_and_no_secrets() -> None:
    tls = target_tls_pb2.TargetTls(enabled=True, client_key="PRIVATE")
    metadata = {"Authorization": "s3cret", "X-Team": "billing", "key-bin": base64.b64encode(b"s3cret").decode()}
    plan = plan_of(payload='{"id": "{{.ExecutionID}}"}', metadata=metadata, tls=tls)
    assert plan.shown == Shown(
        method="CALL",
        url="grpcs://Billing.example:443/a.b.C/Do",
        headers={"authorization": MASK, "key-bin": "6 bytes", "x-team": "billing"},
        body='{"id": "{{.ExecutionID}}"}',
    )
    request = plan.request(FACTS)
    assert "s3cret" not in f"{plan} {request}"
    assert "PRIVATE" not in f"{plan} {request}"
    assert plan_of(raw_payload=b"x" * 1234).shown.body == "1,234 bytes"
    assert plan_of(tls=target_tls_pb2.TargetTls()).shown.url == "grpc://Billing.example:443/a.b.C/Do"


def test_calls_of_one_host_and_port_share_what_is_known_of_it() -> None:
    tls = target_tls_pb2.TargetTls(enabled=True)
    assert plan_of().endpoint == plan_of(address="billing.EXAMPLE:443", tls=tls).endpoint == "billing.example:443"
    assert plan_of(address="[2001:DB8::1]:50051").endpoint == "[2001:db8::1]:50051"


def test_a_span_tells_what_is_called() -> None:
    assert plan_of().request(FACTS).traits == {
        "rpc.system": "grpc",
        "rpc.service": "a.b.C",
        "rpc.method": "Do",
        "server.address": "Billing.example",
        "server.port": 443,
    }


def test_variables_are_filled_in_as_json() -> None:
    request = plan_of(payload='{"name": "{{.JobName}}"}').request(FACTS)
    assert request.payload.decode() == '{"name": "B\\u00fcro \\"report\\""}'
    assert (request.is_raw, request.timeout) == (False, TIMEOUT)


def test_raw_bytes_are_left_alone() -> None:
    request = plan_of(raw_payload=b"{{.JobID}}").request(FACTS)
    assert (request.payload, request.is_raw) == (b"{{.JobID}}", True)


def test_what_belongs_to_chronos_or_to_grpc_is_not_taken_from_a_job() -> None:
    names = ("X-Chronos-Job-ID", "idempotency-key", "webhook-id", "grpc-timeout", "User-Agent", "content-type", "te")
    sent = dict(plan_of(metadata=dict.fromkeys(names, "mine")).request(FACTS).metadata(b""))
    assert "mine" not in sent.values()
    assert sent["x-chronos-job-id"] == "report"


def test_the_attributes_of_an_event_are_not_taken_from_a_job() -> None:
    message = Target(address="a:1", method="/a.b.C/Do", metadata={"ce-id": "mine", "ce-mine": "mine"})
    plan = read_grpc(message, timeout=TIMEOUT, contract=Contract(event=CloudEvent(source="/reports")))
    sent = plan.request(FACTS).metadata(b"")
    assert [value for name, value in sent if name == "ce-id"] == ["e-1"]
    assert dict(sent)["ce-source"] == "/reports"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"x y": "v"}, "has no valid name"),
        ({"x": "ü"}, "holds control or non-ASCII characters"),
        ({"x": "a\nb"}, "holds control or non-ASCII characters"),
        ({"x-bin": "*"}, "must be Base64"),
    ],
)
def test_metadata_that_cannot_be_sent_is_refused(metadata: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan_of(metadata=metadata)


def test_a_plan_weighs_what_it_keeps() -> None:
    tls = target_tls_pb2.TargetTls(enabled=True, ca_cert="c" * 500)
    assert plan_of(payload="1" * 1000, tls=tls, metadata={"a": "b"}).weight - plan_of().weight == 2502


def test_success_is_ok_alone() -> None:
    verdict = judge(Reply(code=0, body="{}", is_truncated=True), RETRYABLE_CODES)
    assert (verdict.is_success, verdict.status_code, verdict.response) == (True, 0, "{}")
    assert (verdict.is_response_truncated, verdict.error, verdict.sign) == (True, "", Sign.SUCCESS)


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_a_job_says_itself_which_codes_are_worth_another_attempt(code: Code) -> None:
    plan = plan_of(retryable_codes=["NOT_FOUND", "INTERNAL"])
    verdict = plan.judge(Reply(code=code, details="why"))
    assert verdict.is_retryable == (code in (Code.NOT_FOUND, Code.INTERNAL))
    assert verdict.error == f"answered {code.name}: why"


@pytest.mark.parametrize(
    ("kind", "code"), [(FailureKind.TIMEOUT, "DEADLINE_EXCEEDED"), (FailureKind.BROKEN, "UNAVAILABLE")]
)
def test_what_was_noticed_here_counts_as_its_code(kind: FailureKind, code: str) -> None:
    failure = Failure(kind=kind, error="why")
    assert plan_of().judge(failure).is_retryable
    assert plan_of(retryable_codes=[code]).judge(failure).is_retryable
    verdict = plan_of(retryable_codes=["ABORTED"]).judge(failure)
    assert (verdict.is_retryable, verdict.is_timeout) == (False, kind is FailureKind.TIMEOUT)


def test_what_never_went_out_is_repeated_whatever_the_codes() -> None:
    failure = Failure(kind=FailureKind.CONNECT, error="why")
    assert plan_of(retryable_codes=["ABORTED"]).judge(failure).is_retryable


def test_a_code_that_grpc_does_not_know_is_shown_as_it_is() -> None:
    verdict = judge(Reply(code=99), RETRYABLE_CODES)
    assert (verdict.error, verdict.is_retryable, verdict.sign) == ("answered status 99", False, Sign.ANSWERED)


@pytest.mark.parametrize(
    ("code", "sign"),
    [
        (Code.UNAVAILABLE, Sign.FAILURE),
        (Code.INTERNAL, Sign.FAILURE),
        (Code.RESOURCE_EXHAUSTED, Sign.FAILURE),
        (Code.NOT_FOUND, Sign.ANSWERED),
        (Code.UNIMPLEMENTED, Sign.ANSWERED),
    ],
)
def test_only_some_codes_speak_against_the_host(code: Code, sign: Sign) -> None:
    assert judge(Reply(code=code), RETRYABLE_CODES).sign is sign


@pytest.mark.parametrize(
    "details",
    [
        "SERVER: Received message larger than max (2000 vs. 1000)",
        "grpc: received message larger than max (2000 vs. 1000)",
        "gRPC message exceeds maximum size 1000: 2000",
    ],
)
def test_too_large_stays_too_large(details: str) -> None:
    verdict = judge(Reply(code=Code.RESOURCE_EXHAUSTED, details=details), RETRYABLE_CODES)
    assert (verdict.is_retryable, verdict.sign) == (False, Sign.ANSWERED)


def test_an_answer_of_another_protocol_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        judge(Answer(status_code=200), RETRYABLE_CODES)


@pytest.mark.parametrize(
    ("details", "server", "kind", "words"),
    [
        ("errors resolving a.example:443: [Domain name not found]", SERVER, FailureKind.NAME, "does not resolve"),
        ("last error: UNKNOWN: ipv4:1.2.3.4:443: connect: Connection refused", SERVER, FailureKind.CONNECT, "refuses"),
        ("last error: UNAVAILABLE: ipv4:1.2.3.4:443: Socket closed", SERVER, FailureKind.CONNECT, "hung up"),
        ("last error: UNAVAILABLE: ipv4:1.2.3.4:443: Socket closed", SECURE, FailureKind.TLS, "client certificate"),
        ("Tls handshake failed: CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", SECURE,
         FailureKind.CERTIFICATE, "it has expired"),
        ("Tls handshake failed: CERTIFICATE_VERIFY_FAILED: certificate revoked: OK", SECURE,
         FailureKind.CERTIFICATE, "certificate revoked"),
        ("Tls handshake failed: NO_SHARED_CIPHER", SECURE, FailureKind.TLS, "NO_SHARED_CIPHER"),
        ("Trying to connect an http1.x server", SERVER, FailureKind.CONNECT, "speaks HTTP/1.1"),
        ("last error: UNKNOWN: ipv4:1.2.3.4:443: No route to host", SERVER, FailureKind.CONNECT, ": No route to host"),
        ("", SERVER, FailureKind.CONNECT, "no reason known"),
    ],
)  # fmt: skip
def test_why_there_is_no_connection(details: str, server: GrpcServer, kind: FailureKind, words: str) -> None:
    failure = not_connected(details, server)
    assert failure.kind is kind
    assert "a.example" in failure.error
    assert words in failure.error
    assert kind in UNSENT_KINDS


@pytest.mark.parametrize(
    ("code", "details", "is_broken"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", True),
        (grpc.StatusCode.UNAVAILABLE, "recvmsg:Connection reset by peer", True),
        (grpc.StatusCode.UNAVAILABLE, "GOAWAY received", True),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", True),
        (grpc.StatusCode.UNAVAILABLE, "Cancelling all calls", True),
        (grpc.StatusCode.CANCELLED, "CANCELLED", True),
        (grpc.StatusCode.CANCELLED, "", False),
        (grpc.StatusCode.CANCELLED, "the order was CANCELLED", False),
        (grpc.StatusCode.UNAVAILABLE, "the database is down", False),
        (grpc.StatusCode.NOT_FOUND, "Socket closed", False),
    ],
)
def test_a_connection_that_broke_is_no_answer(code: grpc.StatusCode, details: str, is_broken: bool) -> None:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
    result = read_status(error, SERVER)
    if is_broken:
        assert isinstance(result, Failure)
        assert result.kind is FailureKind.BROKEN
        assert result.kind not in UNSENT_KINDS
    else:
        assert result == Reply(code=code.value[0], details=details)


def test_details_are_bounded_and_fit_into_a_database() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.ABORTED, grpc.aio.Metadata(), grpc.aio.Metadata(), "\x00" * 5000)
    result = read_status(error, SERVER)
    assert isinstance(result, Reply)
    assert result.details == "\N{REPLACEMENT CHARACTER}" * 1000


def test_connections_differ_in_everything_that_makes_them() -> None:
    one = GrpcServer(host="a", port=1, tls=Tls(ca_cert="x", client_cert="y", client_key="z"))
    assert one == GrpcServer(host="a", port=1, tls=Tls(ca_cert="x", client_cert="y", client_key="z"))
    for field in fields(Tls):
        if field.type is str or field.type == "str":
            tls = Tls(**{"ca_cert": "x", "client_cert": "y", "client_key": "z", field.name: "other"})  # type: ignore[arg-type]
            assert GrpcServer(host="a", port=1, tls=tls) != one
