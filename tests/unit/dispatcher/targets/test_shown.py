"""What history shows of messages and calls, plan by plan, is what their receivers got."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from chronos.scheduler.v1 import grpc_target_pb2, kafka_target_pb2, nats_target_pb2, rabbitmq_target_pb2
from chronos.scheduler.v1.websocket_target_pb2 import WebsocketTarget

from libs.redaction import MASK
from services.dispatcher.convert_targets.grpc import read_grpc
from services.dispatcher.convert_targets.kafka import read_kafka
from services.dispatcher.convert_targets.nats import read_nats
from services.dispatcher.convert_targets.rabbitmq import read_rabbitmq
from services.dispatcher.convert_targets.websocket import read_websocket
from services.dispatcher.domain.cloud_events import CloudEvent
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts, compile_text
from services.dispatcher.domain.targets.plan import Shown, TargetPlan
from services.history.domain import request as history
from services.history.domain.moments import to_us

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMEOUT = timedelta(seconds=3)
FACTS = Facts(
    job_id="report",
    job_name='Büro "report"',
    namespace="default",
    execution_id="e-1",
    scheduled_time=MOMENT,
    attempt=1,
    traceparent="00-a-b-01",
    sent_at=MOMENT,
)
KNOWN = history.Facts(
    namespace=FACTS.namespace,
    job_id=FACTS.job_id,
    job_name=FACTS.job_name,
    execution_id=FACTS.execution_id,
    scheduled_us=to_us(MOMENT),
    started_us=to_us(MOMENT),
)
EVENT = CloudEvent(source="/jobs/report", subject=compile_text("{{.JobName}}"))
CONTRACTS = {
    "bare": Contract(),
    "signed": Contract(secrets=[b"0" * 24], qhronos_secret=b"1"),
    "event": Contract(secrets=[b"0" * 24], event=EVENT),
    "envelope": Contract(secrets=[b"0" * 24], event=replace(EVENT, is_structured=True)),
}
PAYLOAD = '{"n":"{{.JobName}}"}'
HEADERS = {"team": "a"}
MASKED = {"webhook-signature", "x-qhronos-signature"}

Sent = tuple[Mapping[str, str], str]


def plan_of_kafka(contract: Contract) -> TargetPlan:
    target = kafka_target_pb2.KafkaTarget(brokers=["a.example"], topic="t", payload=PAYLOAD, headers=HEADERS)
    return read_kafka(target, timeout=TIMEOUT, contract=contract)


def plan_of_nats(contract: Contract) -> TargetPlan:
    headers = {**HEADERS, "Content-Type": "application/json"}
    target = nats_target_pb2.NatsTarget(url="nats://a.example", subject="s", payload=PAYLOAD, headers=headers)
    return read_nats(target, timeout=TIMEOUT, contract=contract)


def plan_of_untyped_nats(contract: Contract) -> TargetPlan:
    target = nats_target_pb2.NatsTarget(url="nats://a.example", subject="s", payload=PAYLOAD, headers=HEADERS)
    return read_nats(target, timeout=TIMEOUT, contract=contract)


def plan_of_rabbitmq(contract: Contract) -> TargetPlan:
    target = rabbitmq_target_pb2.RabbitmqTarget(url="amqp://a.example", queue="q", payload=PAYLOAD, headers=HEADERS)
    return read_rabbitmq(target, timeout=TIMEOUT, contract=contract)


def plan_of_websocket(contract: Contract) -> TargetPlan:
    target = WebsocketTarget(client_name="printer", payload=PAYLOAD)
    return read_websocket(target, namespace="default", timeout=TIMEOUT, contract=contract)


def sent_to_kafka(plan: TargetPlan) -> Sent:
    request: Any = plan.request(FACTS)
    return {name: value.decode() for name, value in request.headers}, request.value.decode()


def sent_to_nats(plan: TargetPlan) -> Sent:
    request: Any = plan.request(FACTS)
    return request.headers, request.payload.decode()


def sent_to_rabbitmq(plan: TargetPlan) -> Sent:
    # The content type is a property there, and is shown among the headers.
    request: Any = plan.request(FACTS)
    return {**request.headers, "content-type": request.content_type}, request.body.decode()


def sent_to_websocket(plan: TargetPlan) -> Sent:
    # Nothing there names the content type; it is shown nevertheless, since history escapes names by it.
    request: Any = plan.request(FACTS)
    is_envelope = request.payload.startswith('{"specversion"')
    shown = "application/cloudevents+json" if is_envelope else "application/json"
    return {**request.headers, "content-type": shown}, request.payload


PROTOCOLS: Mapping[str, tuple[Callable[[Contract], TargetPlan], Callable[[TargetPlan], Sent]]] = {
    "kafka": (plan_of_kafka, sent_to_kafka),
    "nats": (plan_of_nats, sent_to_nats),
    "nats without a content type": (plan_of_untyped_nats, sent_to_nats),
    "rabbitmq": (plan_of_rabbitmq, sent_to_rabbitmq),
    "websocket": (plan_of_websocket, sent_to_websocket),
}


def fill(shown: Shown) -> history.Request:
    asked = history.Request(method=shown.method, url=shown.url, headers=shown.headers, body=shown.body)
    return history.fill_in(asked, KNOWN)


def masked(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name: MASK if name in MASKED else value for name, value in headers.items() if name != "traceparent"}


@pytest.mark.parametrize(("protocol", "contract"), list(product(PROTOCOLS, CONTRACTS)))
def test_a_shown_message_is_the_one_that_was_sent(protocol: str, contract: str) -> None:
    make_plan, sent = PROTOCOLS[protocol]
    plan = make_plan(CONTRACTS[contract])
    headers, body = sent(plan)
    filled = fill(plan.shown)
    assert filled.headers == masked(headers)
    assert json.loads(filled.body) == json.loads(body)


@pytest.mark.parametrize("contract", ["bare", "signed", "event"])
def test_a_shown_call_is_the_one_that_was_made(contract: str) -> None:
    target = grpc_target_pb2.GrpcTarget(address="a.example:443", method="/a.B/C", payload=PAYLOAD, metadata=HEADERS)
    plan = read_grpc(target, timeout=TIMEOUT, contract=CONTRACTS[contract])
    request = plan.request(FACTS)
    filled = fill(plan.shown)
    assert filled.headers == masked({name: str(value) for name, value in request.metadata(b"encoded")})
    assert filled.body == request.payload.decode()
