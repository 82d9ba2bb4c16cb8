"""An endpoint that dies under load and comes back: the dispatcher recovers by itself, and nothing is lost."""

import asyncio
import uuid
from collections import Counter

import pytest
import trustme
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, target_pb2

from tests.component.dispatcher.harness import Harness, open_dispatcher
from tests.deliveries import make_delivery, make_job, quick_settings
from tests.servers.nginx import NginxServer

Execution = execution_pb2.Execution
Webhook = target_pb2.WebhookTarget
COUNT = 400


def make_patient_job(server: NginxServer, name: str, version: "Webhook.HttpVersion.ValueType") -> job_pb2.Job:
    """Retries for longer than a restart takes."""
    tls = {}
    if name == "mutual":
        client = server.authority.issue_cert("chronos@example.com")
        tls = {
            "ca_cert": server.authority.cert_pem.bytes().decode(),
            "client_cert": client.cert_chain_pems[0].bytes().decode(),
            "client_key": client.private_key_pem.bytes().decode(),
        }
    job = make_job(server.url(name), max_attempts=100, body="{}", tls=tls, http_version=version)
    job.retry_policy.initial_interval.FromMilliseconds(50)
    job.retry_policy.max_interval.FromMilliseconds(200)
    return job


@pytest.mark.parametrize(
    ("name", "version"),
    [("plain", Webhook.AUTO), ("mutual", Webhook.AUTO), ("mutual", Webhook.HTTP_2), ("plain_h2", Webhook.HTTP_2)],
)
async def test_an_endpoint_killed_under_load_loses_nothing(
    name: str, version: "Webhook.HttpVersion.ValueType", own_nginx: NginxServer
) -> None:
    job = make_patient_job(own_nginx, name, version)
    ids = [str(uuid.uuid4()) for _ in range(COUNT)]
    async with open_dispatcher(quick_settings(breaker_failures=0)) as harness:
        stream = await harness.connect()
        await stream.send(*(make_delivery(job, execution_id=each) for each in ids[: COUNT // 2]))
        await harness.wait_until(lambda: len(own_nginx.calls()) >= COUNT // 10)
        own_nginx.kill()
        await stream.send(*(make_delivery(job, execution_id=each) for each in ids[COUNT // 2 :]))
        await wait_for_failures(harness)
        await asyncio.to_thread(own_nginx.start)
        ended = [await harness.history.wait_for_final(each) for each in ids]
    assert {execution.status for execution in ended} == {Execution.SUCCESS}
    assert {execution.status_code for execution in ended} == {200}
    arrived = Counter(call[4] for call in own_nginx.calls() if call[3] == "200")
    repeated = [execution for execution in ended if execution.attempt_count > 1]
    assert repeated
    # What the killed one has answered at the last moment it has not noted any more.
    assert {execution.id for execution in repeated} <= set(arrived)
    for execution in repeated:
        assert "127.0.0.1" in execution.attempts[0].error or "localhost" in execution.attempts[0].error
    protocol = "HTTP/2.0" if version == Webhook.HTTP_2 else "HTTP/1.1"
    assert {call[0] for call in own_nginx.calls()} == {protocol}


async def test_a_certificate_that_the_endpoint_refuses_is_not_retried(own_nginx: NginxServer) -> None:
    job = make_patient_job(own_nginx, "mutual", Webhook.AUTO)
    stranger = trustme.CA().issue_cert("chronos@example.com")
    job.webhook.tls.client_cert = stranger.cert_chain_pems[0].bytes().decode()
    job.webhook.tls.client_key = stranger.private_key_pem.bytes().decode()
    async with open_dispatcher() as harness:
        stream = await harness.connect()
        delivery = make_delivery(job)
        await stream.send(delivery)
        execution = await harness.history.wait_for_final(delivery.execution_id)
    assert (execution.status, execution.attempt_count, execution.status_code) == (Execution.FAILED, 1, 400)
    assert execution.error == "answered 400 Bad Request"


async def wait_for_failures(harness: Harness) -> None:
    """Until an attempt has failed and waits to be repeated."""
    await harness.wait_until(lambda: len(harness.dispatch.retries) > 0)
