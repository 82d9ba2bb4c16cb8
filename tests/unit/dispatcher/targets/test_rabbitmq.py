"""The message that a RabbitMQ target becomes, and what its broker's errors mean."""

import json
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiormq.exceptions import (
    AMQPConnectionError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    ConnectionClosed,
    DeliveryError,
)
from chronos.scheduler.v1 import rabbitmq_target_pb2, target_tls_pb2
from pamqp import commands

from libs.secret_fields import secret_paths
from services.dispatcher.adapters import rabbitmq_errors
from services.dispatcher.convert_targets.rabbitmq import read_rabbitmq
from services.dispatcher.domain.cloud_events import CloudEvent
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.outcome import PERMANENT_KINDS, UNSENT_KINDS
from services.dispatcher.domain.results import Answer, Failure, FailureKind, Receipt
from services.dispatcher.domain.signatures import qhronos_signature, standard_signature
from services.dispatcher.domain.targets.rabbitmq import Broker, RabbitmqPlan, RabbitmqRequest
from services.dispatcher.domain.targets.tls import Tls

Target = rabbitmq_target_pb2.RabbitmqTarget
TIMEOUT = timedelta(seconds=3)
MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
SECRET = b"a secret of at least 24 bytes"
FACTS = Facts(
    job_id="report",
    job_name='Büro "report"',
    namespace="default",
    execution_id="e-1",
    scheduled_time=MOMENT,
    attempt=2,
    traceparent=TRACEPARENT,
    sent_at=MOMENT,
)
CONTRACT_HEADERS = {
    "x-chronos-job-id": "report",
    "x-chronos-execution-id": "e-1",
    "x-chronos-scheduled-time": "2026-01-01T12:00:00Z",
    "x-chronos-attempt": "2",
    "idempotency-key": "e-1",
    "traceparent": TRACEPARENT,
}
BROKER = Broker(host="mq.example", port=5672)


def plan_of(contract: Contract | None = None, **fields: Any) -> RabbitmqPlan:
    values = {"url": "amqp://mq.example", **fields}
    if "exchange" not in values:
        values.setdefault("queue", "orders")
    return read_rabbitmq(Target(**values), timeout=TIMEOUT, contract=contract or Contract())


def request_of(contract: Contract | None = None, **fields: Any) -> RabbitmqRequest:
    return plan_of(contract, **fields).request(FACTS)


def test_what_is_left_out_is_careful() -> None:
    request = request_of()
    assert (request.is_mandatory, request.is_persistent) == (True, True)
    assert (request.priority, request.expiration, request.content_encoding) == (None, None, "")
    assert (request.content_type, request.body, request.timeout) == ("application/json", b"", TIMEOUT)
    assert request.broker == Broker(host="mq.example", port=5672, vhost="/", username="guest", password="guest")


def test_what_is_said_is_kept_also_where_it_is_no_or_zero() -> None:
    request = request_of(
        mandatory=False, persistent=False, priority=0, expiration=timedelta(seconds=1), content_type="text/plain",
        content_encoding="identity",
    )  # fmt: skip
    assert (request.is_mandatory, request.is_persistent, request.priority) == (False, False, 0)
    assert request.expiration == timedelta(seconds=1)
    assert (request.content_type, request.content_encoding) == ("text/plain", "identity")


@pytest.mark.parametrize(
    ("url", "endpoint", "vhost", "has_tls"),
    [
        ("amqp://mq.example", "mq.example:5672", "/", False),
        ("amqp://mq.example/", "mq.example:5672", "/", False),
        ("amqp://MQ.example:1234/orders", "mq.example:1234", "orders", False),
        ("amqp://mq.example/%2F", "mq.example:5672", "/", False),
        ("amqp://mq.example/a%2Fb%20c", "mq.example:5672", "a/b c", False),
        ("amqps://mq.example", "mq.example:5671", "/", True),
        ("amqps://[::1]/orders", "[::1]:5671", "orders", True),
    ],
)
def test_a_url_names_a_broker_and_a_virtual_host(url: str, endpoint: str, vhost: str, has_tls: bool) -> None:
    plan = plan_of(url=url)
    assert (plan.endpoint, plan.target.broker.vhost) == (endpoint, vhost)
    assert (plan.target.broker.tls is not None) == has_tls


@pytest.mark.parametrize("url", ["", "mq.example:5672", "http://mq.example", "amqp://", "amqp://mq.example:99999"])
def test_what_names_no_broker_cannot_be_delivered_to(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        plan_of(url=url)


def test_tls_is_spoken_where_the_address_or_the_job_asks_for_it() -> None:
    tls = target_tls_pb2.TargetTls(enabled=True, ca_cert="PEM")
    assert plan_of(tls=tls).target.broker.tls == Tls(ca_cert="PEM", is_enabled=True)
    assert plan_of(url="amqps://mq.example").target.broker.tls == Tls()
    assert plan_of(tls=target_tls_pb2.TargetTls(ca_cert="PEM")).target.broker.tls is None


@pytest.mark.parametrize(
    ("fields", "username", "password"),
    [
        ({}, "guest", "guest"),
        ({"username": "guest"}, "guest", "guest"),
        ({"username": "guest", "password": "p"}, "guest", "p"),
        ({"username": "writer", "password": "p"}, "writer", "p"),
        ({"username": "writer"}, "writer", ""),
    ],
)
def test_no_user_is_guest_and_nobody_else_has_its_password(
    fields: dict[str, Any], username: str, password: str
) -> None:
    broker = plan_of(**fields).target.broker
    assert (broker.username, broker.password) == (username, password)


def test_jobs_share_a_connection_just_where_all_of_it_is_equal() -> None:
    brokers = [
        plan_of(**fields).target.broker
        for fields in (
            {}, {"url": "amqp://mq.example/orders"}, {"url": "amqps://mq.example:5672"}, {"password": "p"},
            {"username": "u", "password": "p"}, {"tls": target_tls_pb2.TargetTls(enabled=True, ca_cert="PEM")},
        )
    ]  # fmt: skip
    assert len(set(brokers)) == len(brokers)
    assert plan_of(queue="a").target.broker == plan_of(exchange="b", payload="x", priority=3).target.broker


def test_a_message_carries_the_facts_of_its_delivery() -> None:
    request = request_of(payload='{"name": "{{.JobName}}"}')
    assert request.headers == CONTRACT_HEADERS
    assert request.body == b'{"name": "B\\u00fcro \\"report\\""}'
    assert (request.message_id, request.job_id, request.sent_at) == ("e-1", "report", MOMENT)


def test_what_is_signed_is_the_body_as_it_is_sent() -> None:
    request = request_of(Contract(secrets=[SECRET], qhronos_secret=b"old"), payload='{"run": "{{.ExecutionID}}"}')
    timestamp = str(int(MOMENT.timestamp()))
    assert request.headers == {
        **CONTRACT_HEADERS,
        "webhook-id": "e-1",
        "webhook-timestamp": timestamp,
        "webhook-signature": standard_signature([SECRET], "e-1", timestamp, b'{"run": "e-1"}'),
        "x-qhronos-signature": qhronos_signature(b"old", b'{"run": "e-1"}'),
    }


def test_a_jobs_headers_do_not_replace_those_of_the_contract_nor_route() -> None:
    own = {"Idempotency-Key": "mine", "x-chronos-job-id": "mine", "CC": "other", "BCC": "other", "Team": "a", "cc": "b"}
    plan = plan_of(headers=own)
    assert plan.request(FACTS).headers == {**CONTRACT_HEADERS, "Team": "a", "cc": "b"}
    assert plan.shown.headers == {"content-type": "application/json", "Team": "a", "cc": "b"}


@pytest.mark.parametrize("is_structured", [False, True])
def test_an_event_has_its_attributes_where_amqp_wants_them(is_structured: bool) -> None:
    event = CloudEvent(source="/jobs/report", is_structured=is_structured)
    request = request_of(Contract(event=event), payload="[1]")
    if is_structured:
        assert request.headers == CONTRACT_HEADERS
        assert request.content_type == "application/cloudevents+json"
        envelope = json.loads(request.body)
        assert (envelope["id"], envelope["source"], envelope["data"]) == ("e-1", "/jobs/report", [1])
        assert envelope["datacontenttype"] == "application/json"
    else:
        assert request.headers.items() > CONTRACT_HEADERS.items()
        assert (request.headers["cloudEvents:id"], request.headers["cloudEvents:specversion"]) == ("e-1", "1.0")
        assert (request.content_type, request.body) == ("application/json", b"[1]")


def test_names_are_escaped_in_a_payload_that_is_json_alone() -> None:
    for content_type, body in (
        ("", b'B\\u00fcro \\"report\\"'),
        ("application/problem+json", b'B\\u00fcro \\"report\\"'),
        ("text/plain", 'Büro "report"'.encode()),
    ):
        assert request_of(payload="{{.JobName}}", content_type=content_type).body == body


def test_a_routing_key_and_a_message_id_may_hold_variables_and_a_queue_may_not() -> None:
    request = request_of(exchange="x", routing_key="jobs.{{.JobID}}.{{.Attempt}}", message_id="{{.JobID}}/{{.Attempt}}")
    assert (request.exchange, request.routing_key, request.message_id) == ("x", "jobs.report.2", "report/2")
    request = request_of(queue="{{.JobID}}")
    assert (request.exchange, request.routing_key) == ("", "{{.JobID}}")


@pytest.mark.parametrize(
    ("fields", "words", "name"),
    [
        ({"queue": "orders"}, "queue orders", "orders"),
        ({"exchange": "x"}, "exchange x", "x"),
        ({"exchange": "x", "routing_key": "a.b"}, "exchange x, routing key a.b", "x:a.b"),
    ],
)
def test_a_destination_is_told_in_words_and_to_spans(fields: dict[str, Any], words: str, name: str) -> None:
    request = request_of(**fields, payload="{}")
    assert request.destination == words
    assert request.traits == {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "send",
        "messaging.destination.name": name,
        "messaging.rabbitmq.destination.routing_key": request.routing_key,
        "messaging.message.id": "e-1",
        "messaging.message.body.size": 2,
        "server.address": "mq.example",
        "server.port": 5672,
    }


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"queue": "my orders"}, "amqp://mq.example:5672/%2F?queue=my%20orders"),
        ({"url": "amqps://mq.example/a%2Fb", "exchange": "x"}, "amqps://mq.example:5671/a%2Fb?exchange=x"),
        (
            {"exchange": "x", "routing_key": "jobs.{{.JobID}}"},
            "amqp://mq.example:5672/%2F?exchange=x&routing_key=jobs.{{.JobID}}",
        ),
    ],
)
def test_the_ledger_shows_where_a_message_goes(fields: dict[str, Any], url: str) -> None:
    plan = plan_of(**fields, payload="hello")
    assert (plan.shown.method, plan.shown.url, plan.shown.body) == ("PUBLISH", url, "hello")


def test_secrets_are_marked_in_the_contract() -> None:
    assert secret_paths(Target.DESCRIPTOR) == {"password", "tls.client_key"}


def test_secrets_are_not_in_what_is_shown_or_printed() -> None:
    tls = target_tls_pb2.TargetTls(enabled=True, client_key="key-secret")
    contract = Contract(secrets=[b"signing-secret" * 2])
    plan = plan_of(contract, username="writer", password="top-secret", tls=tls, payload="hello")
    assert "secret" not in repr(plan) + repr(plan.shown) + repr(plan.request(FACTS))


def test_what_is_kept_in_memory_is_weighed() -> None:
    little, much = plan_of(payload="x"), plan_of(payload="x" * 10_000, headers={"a": "y" * 1_000})
    assert much.weight - little.weight >= 11_000
    tls = target_tls_pb2.TargetTls(enabled=True, ca_cert="z" * 5_000)
    assert plan_of(payload="x", tls=tls).weight - little.weight >= 5_000


def test_receipts_and_failures_are_judged_and_nothing_else() -> None:
    plan = plan_of()
    verdict = plan.judge(Receipt(response="confirmed: queue orders"))
    assert (verdict.is_success, verdict.response) == (True, "confirmed: queue orders")
    assert not plan.judge(Failure(kind=FailureKind.REFUSED, error="no")).is_retryable
    nack = plan.judge(Failure(kind=FailureKind.BROKEN, error="nack"))
    assert (nack.is_success, nack.is_retryable, nack.is_unsent) == (False, True, False)
    with pytest.raises(TypeError):
        plan.judge(Answer(status_code=200))


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionClosed(530, "NOT_ALLOWED - vhost orders not found"), FailureKind.REFUSED),
        (ConnectionClosed(530, "NOT_ALLOWED - access to vhost '/' refused for user 'u'"), FailureKind.CREDENTIALS),
        (ConnectionClosed(530, "NOT_ALLOWED - connection limit (1) is reached"), FailureKind.UNREADY),
        (ConnectionRefusedError(), FailureKind.CONNECT),
        (ConnectionResetError(), FailureKind.CONNECT),
        (AMQPConnectionError("end of stream"), FailureKind.CONNECT),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), FailureKind.CREDENTIALS),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), FailureKind.CREDENTIALS),
        (tls_error("WRONG_VERSION_NUMBER"), FailureKind.TLS),
        (tls_error("TLSV1_ALERT_INTERNAL_ERROR"), FailureKind.TLS),
    ],
    ids=lambda value: str(value),
)
def test_what_happens_before_there_is_a_connection_is_certain(error: Exception, kind: FailureKind) -> None:
    failure = rabbitmq_errors.describe_connecting(error, BROKER)
    assert failure.kind is kind
    assert failure.kind in UNSENT_KINDS
    assert "mq.example:5672" in failure.error


@pytest.mark.parametrize(
    ("error", "is_alone", "kind"),
    [
        (DeliveryError(None, commands.Basic.Nack()), True, FailureKind.BROKEN),
        (ConnectionClosed(320, "CONNECTION_FORCED - shutdown"), True, FailureKind.BROKEN),
        (ConnectionResetError(), True, FailureKind.BROKEN),
        (ChannelPreconditionFailed("PRECONDITION_FAILED - something"), True, FailureKind.REFUSED),
        (ChannelPreconditionFailed("PRECONDITION_FAILED - something"), False, FailureKind.BROKEN),
        (ChannelNotFoundEntity("NOT_FOUND - no exchange 'x' in vhost '/'"), False, FailureKind.REFUSED),
        (ChannelAccessRefused("ACCESS_REFUSED - access to exchange 'x'"), False, FailureKind.CREDENTIALS),
        (
            ChannelAccessRefused("ACCESS_REFUSED - access to topic 'a.b' in exchange 'x' refused"),
            True,
            FailureKind.CREDENTIALS,
        ),
        (
            ChannelAccessRefused("ACCESS_REFUSED - access to topic 'another' in exchange 'x' refused"),
            True,
            FailureKind.BROKEN,
        ),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), True, FailureKind.INVALID),
    ],
    ids=lambda value: str(value),
)
def test_what_happens_to_a_message_on_its_way_is_classified(
    error: Exception, is_alone: bool, kind: FailureKind
) -> None:
    request = request_of(exchange="x", routing_key="a.b")
    assert rabbitmq_errors.describe_publishing(error, request, is_alone=is_alone).kind is kind


def test_a_size_that_the_broker_names_is_held_against_larger_messages_alone() -> None:
    error = ChannelPreconditionFailed("PRECONDITION_FAILED - message size 20 is larger than configured max size 10")
    assert rabbitmq_errors.largest_message(error) == 10
    assert rabbitmq_errors.largest_message(ChannelPreconditionFailed("something else")) == 0
    large, small = request_of(payload="x" * 20), request_of(payload="x" * 10)
    failure = rabbitmq_errors.describe_publishing(error, large, is_alone=False)
    assert failure.kind is FailureKind.REFUSED
    assert failure.error == "the message has 20 bytes, and mq.example:5672 takes 10 (max_message_size)"
    assert rabbitmq_errors.describe_publishing(error, small, is_alone=False).kind is FailureKind.BROKEN


def test_an_alarm_stops_what_has_not_left_and_leaves_the_rest_unclear() -> None:
    assert rabbitmq_errors.blocked_publishers(BROKER).kind in UNSENT_KINDS - PERMANENT_KINDS
    late = rabbitmq_errors.describe_timeout(request_of(), is_connected=True, is_blocked=True)
    assert late.kind is FailureKind.TIMEOUT
    assert late.error.startswith("timed out after 3s: mq.example:5672 did not confirm the message; it is low on memory")
