"""What a job may say of its Kafka target."""

from typing import Any

import pytest
from chronos.scheduler.v1.kafka_target_pb2 import KafkaSasl, KafkaTarget
from chronos.scheduler.v1.target_tls_pb2 import TargetTls

from libs.redaction import MASK
from services.dispatcher.domain.targets.kafka import parse_broker
from services.scheduler.jobs.targets import kafka as rules

TLS = TargetTls(enabled=True)
PLAIN = KafkaSasl(mechanism=KafkaSasl.PLAIN, username="u", password=MASK)
SCRAM = KafkaSasl(mechanism=KafkaSasl.SCRAM_SHA_512, username="u", password=MASK)


def make(**fields: Any) -> KafkaTarget:
    return KafkaTarget(**{"brokers": ["kafka.example.com:9092"], "topic": "orders", **fields})


def fields_of(target: KafkaTarget) -> list[str]:
    return [violation.field for violation in rules.violations(target)]


def test_what_is_left_out_is_written_out() -> None:
    target = make(brokers=["kafka.example.com", "[::1]", "other:9093"], partition=-1, sasl=KafkaSasl(username="u"))
    rules.fill(target)
    assert target.brokers == ["kafka.example.com:9092", "[::1]:9092", "other:9093"]
    assert (target.acks, target.idempotent) == (KafkaTarget.ALL, True)
    assert not target.HasField("partition")
    assert target.sasl.mechanism == KafkaSasl.PLAIN
    before = target.SerializeToString(deterministic=True)
    rules.fill(target)
    assert target.SerializeToString(deterministic=True) == before


def test_less_than_all_acknowledgements_are_not_idempotent() -> None:
    target = make(acks=KafkaTarget.LEADER)
    rules.fill(target)
    assert not target.idempotent
    assert fields_of(target) == []


@pytest.mark.parametrize(
    "target",
    [
        make(),
        make(
            brokers=["10.0.0.1:9092", "[fd00::1]:9092", "kafka_1.internal"],
            payload="{{.JobID}}",
            key="{{.ExecutionID}}",
        ),
        make(headers={"team": "payments"}, partition=0),
        make(sasl=SCRAM),
        make(sasl=PLAIN, tls=TLS),
    ],
    ids=lambda target: str(target),
)
def test_what_is_right_is_accepted(target: KafkaTarget) -> None:
    assert fields_of(target) == []
    rules.fill(target)
    assert fields_of(target) == []
    assert [str(parse_broker(text)) for text in target.brokers] == list(target.brokers)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (make(brokers=["kafka://host:9092"]), "kafka.brokers[0]"),
        (make(brokers=["a:1", "host:70000"]), "kafka.brokers[1]"),
        (make(brokers=["host:0"]), "kafka.brokers[0]"),
        (make(brokers=["user:secret@host:9092"]), "kafka.brokers[0]"),
        (make(brokers=["host name"]), "kafka.brokers[0]"),
        (make(topic=".."), "kafka.topic"),
        (make(headers={"traceparent": "x"}), "kafka.headers['traceparent']"),
        (make(headers={"no name": "x"}), "kafka.headers['no name']"),
        (make(payload="{{.Nothing}}"), "kafka.payload"),
        (make(key="{{.Nothing}}"), "kafka.key"),
        (make(acks=KafkaTarget.LEADER, idempotent=True), "kafka.idempotent"),
        (make(sasl=PLAIN), "kafka.sasl.mechanism"),
        (make(tls=TargetTls(enabled=True, ca_cert="/etc/ca.pem")), "kafka.tls.ca_cert"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(target: KafkaTarget, field: str) -> None:
    assert fields_of(target) == [field]
