"""Targets as `chronosctl job list` and `job get` show them."""

import re
from typing import Any

import pytest

from cli.chronosctl.target_facts import contract_facts, target, target_facts
from tests.fakes.edge import Answer, FakeEdge
from tests.unit.chronosctl.conftest import Ctl

MASK = "********"
WEBHOOK = {"webhook": {"url": "https://example.com/", "auth": {"bearer": {"token": MASK}}, "success_codes": [202]}}
GRPC = {
    "grpc": {
        "address": "billing.example.com:443", "method": "/billing.Bills/Send", "metadata": {"x-team": "blue"},
        "payload": "{}", "retryable_codes": ["UNAVAILABLE"],
        "tls": {"enabled": True, "ca_cert": "-----BEGIN…", "client_cert": "-----BEGIN…", "client_key": MASK},
    }
}  # fmt: skip
KAFKA = {
    "kafka": {
        "brokers": ["a:9092", "b:9092"], "topic": "orders", "key": "{{.JobID}}", "partition": 3, "acks": "ALL",
        "compression": "COMPRESSION_UNSPECIFIED", "idempotent": True, "payload": "secret recipe", "timeout": "5s",
        "sasl": {"mechanism": "SCRAM_SHA_512", "username": "ann", "password": MASK},
    }
}  # fmt: skip
NATS = {
    "nats": {
        "url": "nats://n:4222", "subject": "orders.new", "request_reply": True, "reply_timeout": "5s",
        "auth": {"user": {"username": "ann", "password": MASK}},
    }
}  # fmt: skip
RABBITMQ = {
    "rabbitmq": {
        "url": "amqps://mq.example.com/shop", "username": "ann", "password": MASK, "exchange": "orders",
        "routing_key": "new", "mandatory": True, "persistent": False,
    }
}  # fmt: skip


@pytest.mark.parametrize(
    ("job", "shown"),
    [
        (WEBHOOK, "POST https://example.com/"),
        (GRPC, "CALL grpc://billing.example.com:443/billing.Bills/Send"),
        (KAFKA, "PUBLISH kafka://a:9092,b:9092/orders"),
        (NATS, "REQUEST nats://n:4222/orders.new"),
        ({"nats": {"url": "nats://n", "subject": "s"}}, "PUBLISH nats://n/s"),
        (RABBITMQ, "PUBLISH amqps://mq.example.com/shop (exchange orders, key new)"),
        ({"rabbitmq": {"url": "amqp://mq", "queue": "q"}}, "PUBLISH amqp://mq (queue q)"),
        ({"websocket": {"client_name": "till-3"}}, "SEND ws:till-3"),
        ({}, ""),
    ],
)
def test_a_target_is_told_in_a_few_words(job: dict[str, Any], shown: str) -> None:
    assert target(job) == shown


@pytest.mark.parametrize(
    ("job", "facts"),
    [
        (WEBHOOK, {"auth": "bearer", "success codes": "202"}),
        (
            GRPC,
            {
                "metadata": "x-team=blue", "tls": "on, own authorities, client certificate",
                "retryable codes": "UNAVAILABLE",
            },
        ),
        (
            KAFKA,
            {
                "auth": "SCRAM-SHA-512 as ann", "key": "{{.JobID}}", "partition": "3", "acks": "ALL",
                "idempotent": "yes",
            },
        ),
        (NATS, {"auth": "user as ann", "reply timeout": "5s"}),
        (RABBITMQ, {"auth": "ann", "mandatory": "yes", "persistent": "no"}),
        (
            {"nats": {"jetstream": {"enabled": True, "stream": "S", "message_id": ""}}},
            {"jetstream": "stream=S"},
        ),
        ({"nats": {"jetstream": {"enabled": True}}}, {"jetstream": "any stream"}),
        ({"nats": {"tls": {"insecure_skip_verify": True, "enabled": True}}}, {"tls": "on, any certificate is trusted"}),
    ],
)  # fmt: skip
def test_the_details_of_a_target_are_told_without_its_secrets(job: dict[str, Any], facts: dict[str, str]) -> None:
    assert {name: value for name, value in target_facts(job) if value} == facts


def test_signatures_and_events_are_told() -> None:
    job = {
        "signing": {"secrets": [MASK, MASK], "qhronos_secret": MASK},
        "cloud_event": {"mode": "STRUCTURED", "type": "t"},
    }
    assert contract_facts(job) == [
        ("signed", "webhook-signature, 2 secrets; X-Qhronos-Signature"),
        ("cloud event", "mode=STRUCTURED, type=t"),
    ]
    assert contract_facts({"cloud_event": {}}) == [("signed", ""), ("cloud event", "mode=BINARY")]
    assert contract_facts({}) == [("signed", ""), ("cloud event", "")]


def test_a_job_of_another_protocol_is_shown_readably(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"id": "a", "name": "A", "schedule": "@hourly", **KAFKA}))
    shown = ctl("job", "get", "a").out
    lines = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in shown.splitlines())
    assert lines["target"] == "PUBLISH kafka://a:9092,b:9092/orders"
    assert lines["acks"] == "ALL"
    assert lines["timeout"] == "5.00 s"
    assert MASK not in shown
    assert "secret recipe" not in shown
