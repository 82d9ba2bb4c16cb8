"""The record that a Kafka target becomes, and what its broker's errors mean."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chronos.scheduler.v1 import kafka_target_pb2, target_tls_pb2

from services.dispatcher.adapters.kafka_errors import (
    LEADERS_ERRORS,
    PRODUCE_ERRORS,
    identity_error,
    produce_error,
    topic_error,
)
from services.dispatcher.convert_targets.kafka import read_kafka
from services.dispatcher.domain.cloud_events import CloudEvent
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.outcome import PERMANENT_KINDS, UNSENT_KINDS
from services.dispatcher.domain.results import Answer, Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.kafka import Acks, Broker, Compression, KafkaPlan, Mechanism, parse_broker

Target = kafka_target_pb2.KafkaTarget
TIMEOUT = timedelta(seconds=3)
FACTS = Facts(
    job_id="report",
    job_name='Büro "report"',
    namespace="default",
    execution_id="e-1",
    scheduled_time=datetime(2026, 1, 1, 12, tzinfo=UTC),
    attempt=1,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    sent_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
)


def plan_of(**fields: Any) -> KafkaPlan:
    message = Target(**{"brokers": ["Kafka.example.com"], "topic": "orders", **fields})
    return read_kafka(message, timeout=TIMEOUT, contract=Contract())


def test_what_is_left_out_is_careful() -> None:
    plan = plan_of()
    assert plan.kafka.link.brokers == (Broker("kafka.example.com", 9092),)
    assert (plan.kafka.link.acks, plan.kafka.link.is_idempotent) == (Acks.ALL, True)
    assert (plan.kafka.link.compression, plan.kafka.link.tls, plan.kafka.link.sasl) == (Compression.NONE, None, None)
    request = plan.request(FACTS)
    assert (request.partition, request.key, request.value) == (None, None, b"")


@pytest.mark.parametrize(
    ("acks", "idempotent", "expected"),
    [
        (Target.ALL, None, (Acks.ALL, True)),
        (Target.ALL, False, (Acks.ALL, False)),
        (Target.LEADER, None, (Acks.LEADER, False)),
        (Target.NONE, True, (Acks.NONE, False)),
    ],
)
def test_only_records_that_all_replicas_acknowledge_are_idempotent(
    acks: "Target.Acks.ValueType", idempotent: bool | None, expected: tuple[Acks, bool]
) -> None:
    link = plan_of(acks=acks, **({} if idempotent is None else {"idempotent": idempotent})).kafka.link
    assert (link.acks, link.is_idempotent) == expected


@pytest.mark.parametrize(("given", "partition"), [(-1, None), (0, 0), (7, 7)])
def test_a_partition_of_minus_one_means_any(given: int, partition: int | None) -> None:
    assert plan_of(partition=given).request(FACTS).partition == partition


def test_settings_that_differ_do_not_share_connections() -> None:
    sasl = kafka_target_pb2.KafkaSasl(mechanism=kafka_target_pb2.KafkaSasl.SCRAM_SHA_512, username="u", password="p")
    tls = target_tls_pb2.TargetTls(enabled=True, ca_cert="PEM")
    links = [
        plan_of(**fields).kafka.link
        for fields in (
            {}, {"acks": Target.LEADER}, {"compression": Target.ZSTD}, {"sasl": sasl}, {"tls": tls},
            {"idempotent": False}, {"brokers": ["other.example.com"]},
        )
    ]  # fmt: skip
    assert len(set(links)) == len(links)
    assert plan_of(topic="a").kafka.link == plan_of(topic="b", payload="x", partition=3).kafka.link
    found = links[3].sasl
    assert found is not None
    assert (found.mechanism, found.username, found.password) == (Mechanism.SCRAM_SHA_512, "u", "p")


def test_secrets_are_not_in_what_is_shown_or_printed() -> None:
    sasl = kafka_target_pb2.KafkaSasl(username="u", password="top-secret")
    tls = target_tls_pb2.TargetTls(enabled=True, client_key="key-secret")
    plan = plan_of(sasl=sasl, tls=tls, payload="hello")
    text = repr(plan) + repr(plan.shown) + repr(plan.request(FACTS))
    assert "secret" not in text
    assert (plan.shown.method, plan.shown.url) == ("PUBLISH", "kafka://kafka.example.com:9092/orders")
    assert plan.shown.body == "hello"


def test_a_jobs_headers_do_not_replace_those_of_the_contract() -> None:
    own = {"Idempotency-Key": "mine", "x-chronos-job-id": "mine", "Content-Type": "text/plain", "Team": "a"}
    request = plan_of(payload="{{.JobName}}", headers=own).request(FACTS)
    headers = dict(request.headers)
    assert len(headers) == len(request.headers)
    assert headers["idempotency-key"] == b"e-1"
    assert headers["x-chronos-job-id"] == b"report"
    assert (headers["content-type"], headers["Team"]) == (b"text/plain", b"a")
    assert "Idempotency-Key" not in headers
    assert request.value == 'Büro "report"'.encode()


def test_a_payload_is_json_unless_the_job_says_otherwise() -> None:
    request = plan_of(payload='{"name": "{{.JobName}}"}', key="{{.JobName}}").request(FACTS)
    assert dict(request.headers)["content-type"] == b"application/json"
    assert request.value == b'{"name": "B\\u00fcro \\"report\\""}'
    assert request.key == 'Büro "report"'.encode()
    assert "content-type" not in dict(plan_of().request(FACTS).headers)


@pytest.mark.parametrize("is_structured", [False, True])
def test_an_event_has_its_attributes_where_kafka_wants_them(is_structured: bool) -> None:
    message = Target(brokers=["kafka.example.com"], topic="orders", payload="{}")
    contract = Contract(event=CloudEvent(source="/jobs/report", is_structured=is_structured))
    request = read_kafka(message, timeout=TIMEOUT, contract=contract).request(FACTS)
    headers = dict(request.headers)
    assert headers.get("ce_id") == (None if is_structured else b"e-1")
    assert headers["content-type"].startswith(b"application/cloudevents+json" if is_structured else b"application/json")
    assert (b'"id":"e-1"' in request.value.replace(b" ", b"")) == is_structured


def test_a_receipt_is_a_success_and_a_failure_is_none() -> None:
    plan = plan_of()
    verdict = plan.judge(Receipt(response="partition 3, offset 42"))
    assert (verdict.is_success, verdict.response) == (True, "partition 3, offset 42")
    assert not plan.judge(Failure(kind=FailureKind.UNREADY, error="later")).is_success
    with pytest.raises(TypeError):
        plan.judge(Answer(status_code=200))


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("kafka", "kafka", 9092),
        ("kafka:9093", "kafka", 9093),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("[::1]:9094", "::1", 9094),
        ("[::1]", "::1", 9092),
        ("::1", "::1", 9092),
    ],
)
def test_a_broker_is_a_host_and_maybe_a_port(text: str, host: str, port: int) -> None:
    assert parse_broker(text) == Broker(host, port)


@pytest.mark.parametrize("text", ["", "kafka://host", "host:0", "host:65536", "host:x", "a b:1", "user@host:1"])
def test_what_is_no_broker_cannot_be_delivered_to(text: str) -> None:
    with pytest.raises(ValueError, match=r"broker|port"):
        plan_of(brokers=[text])


def test_no_brokers_cannot_be_delivered_to() -> None:
    with pytest.raises(ValueError, match="no brokers"):
        plan_of(brokers=[])


@pytest.mark.parametrize("code", [*PRODUCE_ERRORS, -1, 9_999])
@pytest.mark.parametrize("acks", list(Acks))
def test_an_error_is_unsent_just_where_it_is_certain(code: int, acks: Acks) -> None:
    error = produce_error(code, "partition 0 of orders", acks)
    assert error.is_certain == (error.failure.kind in UNSENT_KINDS)
    assert "{" not in error.failure.error


@pytest.mark.parametrize("code", [3, 6, 7, 20, 56, -1])
def test_what_may_have_been_appended_is_unclear(code: int) -> None:
    assert not produce_error(code, "", Acks.ALL).is_certain


def test_a_leader_that_answers_for_itself_alone_refuses_before_it_appends() -> None:
    assert {code for code in LEADERS_ERRORS if LEADERS_ERRORS[code] != PRODUCE_ERRORS[code]} == {3, 6}
    assert produce_error(6, "", Acks.LEADER).is_certain


@pytest.mark.parametrize("meaning", PRODUCE_ERRORS.values(), ids=lambda meaning: meaning.words)
def test_what_fails_for_good_is_not_tried_again_within_the_attempt(meaning: Any) -> None:
    assert meaning.is_passing == (meaning.kind not in PERMANENT_KINDS)


def test_errors_about_topics_and_ids_are_certain_too() -> None:
    for error in (topic_error(3, "orders"), topic_error(-1, "orders"), identity_error(31)):
        assert error.is_certain
        assert error.failure.kind in UNSENT_KINDS
