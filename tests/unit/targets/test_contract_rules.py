"""What a job may say about signatures and events."""

import base64

import pytest
from chronos.scheduler.v1 import job_pb2, signing_pb2

from services.scheduler.jobs.targets import cloud_event, signing
from services.scheduler.jobs.targets.registry import fill_target, target_violations

CloudEvent = signing_pb2.CloudEvent
SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()


def webhook_job(**event: object) -> job_pb2.Job:
    job = job_pb2.Job(cloud_event=CloudEvent(**event))  # type: ignore[arg-type]
    job.webhook.url, job.webhook.method = "https://example.com/", "POST"
    return job


def fields(job: job_pb2.Job) -> list[str]:
    return [found.field for found in cloud_event.violations(job)]


def test_an_event_says_what_it_means_but_for_its_source() -> None:
    job = webhook_job()
    cloud_event.fill(job)
    assert job.cloud_event == CloudEvent(mode=CloudEvent.BINARY, type="io.chronos.execution.due")
    bare = job_pb2.Job()
    cloud_event.fill(bare)
    assert not bare.HasField("cloud_event")


@pytest.mark.parametrize("source", ["", "/billing", "https://example.com/a?b=c#d", "urn:x:y", "mailto:a@b.c", "a%20b"])
def test_a_source_is_a_uri_reference(source: str) -> None:
    assert fields(webhook_job(source=source)) == []


@pytest.mark.parametrize("source", ["a b", "a%2", "a%zz", "ü", "a\n", "<a>", "a|b"])
def test_what_is_no_uri_reference_is_refused(source: str) -> None:
    assert fields(webhook_job(source=source)) == ["cloud_event.source"]


def test_a_subject_is_a_template_without_control_characters() -> None:
    assert fields(webhook_job(subject="Büro {{.JobName}} 😀")) == []
    assert fields(webhook_job(subject="{{.Nope}}")) == ["cloud_event.subject"]
    assert fields(webhook_job(subject="a\tb", type="a\nb")) == ["cloud_event.type", "cloud_event.subject"]


@pytest.mark.parametrize("name", ["ce-id", "CE-Source", "ce_type", "cloudEvents:id", "cloudEvents_time"])
def test_a_job_of_events_sets_none_of_their_headers(name: str) -> None:
    job = webhook_job()
    job.webhook.headers[name] = "x"
    assert fields(job) == [f"webhook.headers[{name!r}]"]
    job.grpc.metadata[name] = "x"
    assert fields(job) == [f"grpc.metadata[{name!r}]"]
    job.ClearField("cloud_event")
    assert fields(job) == []


def test_an_envelope_needs_a_body_to_be() -> None:
    structured = {"mode": CloudEvent.STRUCTURED}
    job = webhook_job(**structured)
    assert fields(job) == []
    job.webhook.method = "GET"
    assert fields(job) == ["cloud_event.mode"]
    job.grpc.address = "a:1"
    assert fields(job) == ["cloud_event.mode"]
    job.websocket.client_name = "till-3"
    assert fields(job) == []
    job.rabbitmq.queue = "q"
    assert fields(job) == []
    job.rabbitmq.content_encoding = "gzip"
    assert fields(job) == ["cloud_event.mode"]


def test_secrets_are_those_of_standard_webhooks() -> None:
    given = signing_pb2.Signing(secrets=[SECRET, "********", "secret", "whsec_c2hvcnQ="])
    found = list(signing.violations(given))
    assert [violation.field for violation in found] == ["signing.secrets[2]", "signing.secrets[3]"]
    assert "openssl" in found[0].description
    assert "secret" not in found[0].description.replace("whsec_", "")


def test_signatures_and_events_are_looked_at_whatever_the_target() -> None:
    job = webhook_job(source="a b")
    job.signing.secrets.append("secret")
    fill_target(job)
    assert job.cloud_event.type == "io.chronos.execution.due"
    assert [found.field for found in target_violations(job)] == ["signing.secrets[0]", "cloud_event.source"]
