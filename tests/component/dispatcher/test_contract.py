"""Signed deliveries and CloudEvents through a running dispatcher, verified as the documentation tells receivers to."""

import json
from collections.abc import AsyncIterator

import pytest
from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import job_pb2, signing_pb2

from tests.component.dispatcher.harness import Harness, open_dispatcher
from tests.deliveries import make_delivery, make_job, quick_settings
from tests.doc_blocks import python_function
from tests.receiver import Received, Receiver, Reply

OLD, NEW, USUAL = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8, "whsec_" + "dXN1" * 8
BODY = '{"name": "{{.JobName}}", "n": 1.10}'
CloudEvent = signing_pb2.CloudEvent
is_genuine = python_function("delivery-contract.md", "is_genuine")
is_from_qhronos = python_function("delivery-contract.md", "is_from_qhronos")


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    async with open_dispatcher(quick_settings(signing_secrets=[USUAL])) as harness:
        yield harness


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def deliver(harness: Harness, job: job_pb2.Job) -> execution_pb2.Execution:
    delivery = make_delivery(job)
    await (await harness.connect()).send(delivery)
    return await harness.history.wait_for_final(delivery.execution_id)


def genuine_for(received: Received) -> list[str]:
    return [secret for secret in (OLD, NEW, USUAL) if is_genuine(secret, received.headers, received.body)]


async def test_each_attempt_is_signed_with_all_secrets_of_the_job(harness: Harness, receiver: Receiver) -> None:
    job = make_job(receiver.reply("/", Reply(status=503), Reply()), body=BODY)
    job.signing.secrets.extend([OLD, NEW])
    job.signing.qhronos_secret = "qhronos.io"
    execution = await deliver(harness, job)
    assert execution.status == execution_pb2.Execution.SUCCESS
    assert [genuine_for(received) for received in receiver.requests] == [[OLD, NEW], [OLD, NEW]]
    for received in receiver.requests:
        assert received.headers["webhook-id"] == received.headers["idempotency-key"] == execution.id
        assert is_from_qhronos("qhronos.io", received.headers, received.body)


async def test_a_job_without_secrets_is_signed_with_those_of_the_dispatcher(
    harness: Harness, receiver: Receiver
) -> None:
    await deliver(harness, make_job(receiver.url("/"), body=BODY))
    (received,) = receiver.requests
    assert genuine_for(received) == [USUAL]
    assert "x-qhronos-signature" not in received.headers


async def test_what_history_keeps_of_a_signed_job_shows_no_secret(harness: Harness, receiver: Receiver) -> None:
    job = make_job(receiver.url("/"))
    job.signing.secrets.append(OLD)
    delivery = make_delivery(job)
    delivery.definition_id = b"d" * 16
    await (await harness.connect()).send(delivery)
    await harness.history.wait_for_final(delivery.execution_id)
    definitions: list[ledger_service_pb2.Definition] = [
        record.definition for record in harness.history.records if record.HasField("definition")
    ]
    assert definitions
    for definition in definitions:
        assert list(job_pb2.Job.FromString(definition.job).signing.secrets) == ["********"]
        assert OLD.encode() not in definition.SerializeToString()


async def test_an_event_in_binary_mode_is_a_request_with_headers(harness: Harness, receiver: Receiver) -> None:
    job = make_job(receiver.url("/"), body=BODY)
    job.cloud_event.subject = "{{.JobName}}"
    execution = await deliver(harness, job)
    (received,) = receiver.requests
    assert {name: value for name, value in received.headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": execution.id,
        "ce-source": "/namespaces/default/jobs/report",
        "ce-type": "io.chronos.execution.due",
        "ce-time": "2026-01-01T12:00:00Z",
        "ce-subject": "B%C3%BCro%20%22report%22",
    }
    assert received.headers["content-type"] == "application/json"
    assert json.loads(received.body) == {"name": 'Büro "report"', "n": 1.1}


async def test_an_event_in_structured_mode_is_a_signed_envelope(harness: Harness, receiver: Receiver) -> None:
    job = make_job(receiver.url("/"), body=BODY)
    job.cloud_event.CopyFrom(CloudEvent(mode=CloudEvent.STRUCTURED, type="com.example.due", source="/billing"))
    job.signing.secrets.append(OLD)
    execution = await deliver(harness, job)
    (received,) = receiver.requests
    assert received.headers["content-type"] == "application/cloudevents+json"
    assert json.loads(received.body) == {
        "specversion": "1.0",
        "id": execution.id,
        "source": "/billing",
        "type": "com.example.due",
        "time": "2026-01-01T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {"name": 'Büro "report"', "n": 1.1},
    }
    assert genuine_for(received) == [OLD]


async def test_a_structured_event_without_data_has_an_envelope_all_the_same(
    harness: Harness, receiver: Receiver
) -> None:
    job = make_job(receiver.url("/"))
    job.cloud_event.mode = CloudEvent.STRUCTURED
    execution = await deliver(harness, job)
    (received,) = receiver.requests
    envelope = json.loads(received.body)
    assert (envelope["id"], "data" in envelope) == (execution.id, False)
    assert received.headers["content-type"] == "application/cloudevents+json"
