"""Kafka."""

import re
from collections.abc import Iterator

from chronos.scheduler.v1 import kafka_target_pb2

from libs.faults import Violation
from services.scheduler.domain import rules
from services.scheduler.jobs.targets import tls

Target = kafka_target_pb2.KafkaTarget
Sasl = kafka_target_pb2.KafkaSasl
DEFAULT_PORT = 9092
BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?)(?::(\d{1,5}))?")


def fill(kafka: kafka_target_pb2.KafkaTarget) -> None:
    """Says what fields that were left out mean."""
    for place, broker in enumerate(kafka.brokers):
        found = BROKER.fullmatch(broker)
        if found is not None and found.group(1) is None:
            kafka.brokers[place] = f"{broker}:{DEFAULT_PORT}"
    if kafka.HasField("partition") and kafka.partition < 0:
        kafka.ClearField("partition")
    kafka.acks = kafka.acks or Target.ALL
    if not kafka.HasField("idempotent"):
        kafka.idempotent = kafka.acks == Target.ALL
    if kafka.HasField("sasl"):
        kafka.sasl.mechanism = kafka.sasl.mechanism or Sasl.PLAIN


def violations(kafka: kafka_target_pb2.KafkaTarget) -> Iterator[Violation]:
    """What is wrong, beyond its shape."""
    yield from _broker_violations(kafka)
    if kafka.topic in (".", ".."):
        yield Violation(field="kafka.topic", description="is no name that Kafka allows; use letters and digits, too")
    yield from rules.header_violations("kafka.headers", dict(kafka.headers))
    yield from rules.template_violations("kafka.payload", [kafka.payload])
    yield from rules.template_violations("kafka.key", [kafka.key])
    yield from tls.violations("kafka.tls", kafka.tls)
    if kafka.idempotent and kafka.acks not in (Target.ACKS_UNSPECIFIED, Target.ALL):
        yield Violation(
            field="kafka.idempotent", description="goes with acks ALL alone; leave it out, or set acks to ALL"
        )
    if (
        kafka.HasField("sasl")
        and kafka.sasl.mechanism in (Sasl.MECHANISM_UNSPECIFIED, Sasl.PLAIN)
        and not kafka.tls.enabled
    ):
        yield Violation(
            field="kafka.sasl.mechanism",
            description="PLAIN shows the password to anybody in between; set tls.enabled, or use SCRAM_SHA_512",
        )


def _broker_violations(kafka: kafka_target_pb2.KafkaTarget) -> Iterator[Violation]:
    for place, broker in enumerate(kafka.brokers):
        field, found = f"kafka.brokers[{place}]", BROKER.fullmatch(broker)
        if found is None:
            yield Violation(
                field=field,
                description="is no host and port; write for example kafka.example.com:9092, without kafka://",
            )
        elif found.group(1) is not None and not 0 < int(found.group(1)) < 65_536:
            yield Violation(field=field, description="has a port that does not exist; use 1 to 65535")
