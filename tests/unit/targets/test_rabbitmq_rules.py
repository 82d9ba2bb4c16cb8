"""What a job may say of its RabbitMQ target."""

from typing import Any

import pytest
from chronos.scheduler.v1.rabbitmq_target_pb2 import RabbitmqTarget
from chronos.scheduler.v1.target_tls_pb2 import TargetTls

from libs.redaction import MASK
from services.dispatcher.domain.targets.rabbitmq import parse_broker
from services.scheduler.jobs.targets import rabbitmq as rules


def make(**fields: Any) -> RabbitmqTarget:
    values = {"url": "amqp://mq.example:5672/orders", **fields}
    if "exchange" not in values:
        values.setdefault("queue", "orders")
    return RabbitmqTarget(**values)


def found(**fields: Any) -> list[str]:
    return [violation.field for violation in rules.violations(make(**fields))]


def test_what_is_left_out_is_written_out() -> None:
    target = make()
    rules.fill(target)
    assert (target.username, target.content_type) == ("guest", "application/json")
    assert (target.mandatory, target.persistent) == (True, True)
    assert (target.password, target.message_id, target.routing_key) == ("", "", "")
    assert not any(target.HasField(name) for name in ("priority", "expiration", "timeout", "tls"))
    before = target.SerializeToString(deterministic=True)
    rules.fill(target)
    assert target.SerializeToString(deterministic=True) == before


def test_what_is_said_stays_also_where_it_is_no() -> None:
    target = make(mandatory=False, persistent=False, username="writer", content_type="text/plain")
    rules.fill(target)
    assert (target.mandatory, target.persistent) == (False, False)
    assert (target.username, target.content_type) == ("writer", "text/plain")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"url": "amqp://mq.example"},
        {"url": "amqp://10.0.0.1:1234/%2F"},
        {"url": "amqp://[fd00::1]:5672/a%20b"},
        {"url": "amqps://mq.example/a%2Fb", "tls": TargetTls(server_name="other.example")},
        {"url": "AMQPS://mq.example", "tls": TargetTls(server_name="other.example")},
        {"tls": TargetTls(enabled=True)},
        {"username": "guest"},
        {"username": "writer", "password": MASK},
        {"exchange": "amq.topic", "routing_key": "jobs.{{.JobID}}"},
        {"exchange": "orders: a@b #1,c/d+e-f"},
        {"exchange": "x" * 127},
        {"queue": "größe *"},
        {"headers": {"Team": "billing", "cc": "x"}, "payload": "{{.JobName}}", "message_id": "{{.ExecutionID}}"},
        {"priority": 0, "expiration": {"seconds": 60}, "content_encoding": "gzip"},
    ],
    ids=str,
)
def test_what_is_right_is_accepted_and_can_be_delivered_to(fields: dict[str, Any]) -> None:
    assert found(**fields) == []
    target = make(**fields)
    rules.fill(target)
    assert list(rules.violations(target)) == []
    assert parse_broker(target.url, username=target.username, password="", tls=None).host


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "mq.example:5672"}, "url"),
        ({"url": "http://mq.example"}, "url"),
        ({"url": "amqp://"}, "url"),
        ({"url": "amqp://[::1"}, "url"),
        ({"url": "amqp://mq.example:99999"}, "url"),
        ({"url": "amqp://mq.example:0"}, "url"),
        ({"url": "amqp://mq.example/my orders"}, "url"),
        ({"url": "amqp://guest:guest@mq.example"}, "url"),
        ({"url": "amqp://guest@mq.example"}, "url"),
        ({"url": "amqp://mq.example/?heartbeat=1"}, "url"),
        ({"url": "amqp://mq.example/#fragment"}, "url"),
        ({"url": "amqp://mq.example/a/b"}, "url"),
        ({"url": "amqp://mq.example/" + "ü" * 128}, "url"),
        ({"username": "writer"}, "password"),
        ({"queue": "", "exchange": ""}, "exchange"),
        ({"queue": "a", "exchange": "b"}, "queue"),
        ({"queue": "a", "routing_key": "b"}, "routing_key"),
        ({"exchange": "größe"}, "exchange"),
        ({"exchange": "a*b"}, "exchange"),
        ({"exchange": "x" * 128}, "exchange"),
        ({"headers": {"Idempotency-Key": "x"}}, "headers['Idempotency-Key']"),
        ({"headers": {"no name": "x"}}, "headers['no name']"),
        ({"headers": {"a": "x\ny"}}, "headers['a']"),
        ({"headers": {"CC": "other"}}, "headers['CC']"),
        ({"headers": {"BCC": "other"}}, "headers['BCC']"),
        ({"headers": {"x" * 256: "a"}}, f"headers['{'x' * 256}']"),
        ({"payload": "{{.Nothing}}"}, "payload"),
        ({"exchange": "x", "routing_key": "{{.Nothing}}"}, "routing_key"),
        ({"message_id": "{{.Nothing}}"}, "message_id"),
        ({"tls": TargetTls(server_name="other.example")}, "tls.enabled"),
        ({"tls": TargetTls(enabled=True, ca_cert="/etc/ca.pem")}, "tls.ca_cert"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], field: str) -> None:
    assert found(**fields) == [f"rabbitmq.{field}"]


def test_what_is_wrong_is_said_with_a_way_to_mend_it() -> None:
    (violation,) = rules.violations(make(url="amqp://u:p@mq.example"))
    assert violation.description.endswith("put them into rabbitmq.username and .password")
    (violation,) = rules.violations(make(username="writer"))
    assert violation.description == "is missing: give that of the user writer"
