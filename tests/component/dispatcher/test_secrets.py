"""Jobs that refer to secrets, through the whole dispatcher: real files and variables in, real HTTP out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from chronos.history.v1 import execution_pb2
from structlog.testing import capture_logs

from libs.clock import SystemClock
from libs.redaction import MASK
from services.dispatcher.app.senders import open_senders
from tests.component.dispatcher.harness import Event, Harness, SchedulerStream, open_dispatcher
from tests.contract.secrets.http_server import Answer, Asked, serve
from tests.deliveries import make_delivery, make_job, quick_settings
from tests.receiver import Receiver, Reply

Execution = execution_pb2.Execution


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@asynccontextmanager
async def dispatcher(**changes: object) -> AsyncIterator[Harness]:
    settings = quick_settings(allow_private_addresses=True, **changes)
    async with open_senders(settings, SystemClock()) as sender, open_dispatcher(settings, sender=sender) as harness:
        yield harness


async def outcome(stream: SchedulerStream, execution_id: str) -> "Execution.Status.ValueType":
    await stream.wait_for_kind(execution_id, "FINISHED")
    return stream.event(execution_id, Event.FINISHED).status


async def test_a_secret_reaches_its_receiver_and_nobody_else(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("file-s3cret\n")
    monkeypatch.setenv("CHRONOS_SECRET_TOKEN", "env-s3cret")
    receiver.replies["/hook"] = [Reply(body=b"you sent env-s3cret and file-s3cret")]
    job = make_job(receiver.url("/hook?token=${secret:env:CHRONOS_SECRET_TOKEN}"), body='{"job": "{{.JobID}}"}')
    job.webhook.auth.bearer.token = f"${{secret:file:{tmp_path}/key}}"
    with capture_logs() as logs:
        async with dispatcher(secret_directories=[str(tmp_path)]) as harness:
            stream, delivery = await harness.connect(), make_delivery(job)
            delivery.definition_id = b"d"
            await stream.send(delivery)
            assert await outcome(stream, delivery.execution_id) == Execution.SUCCESS
            records, events = harness.history.records, stream.events
    (received,) = receiver.requests
    assert received.target == "/hook?token=env-s3cret"
    assert received.headers["authorization"] == "Bearer file-s3cret"
    told = b"".join(message.SerializeToString() for message in (*records, *events)) + str(logs).encode()
    assert b"s3cret\n" not in told
    assert b"env-s3cret" not in told
    assert b"file-s3cret" not in told
    assert b"${secret:env:CHRONOS_SECRET_TOKEN}" in told
    assert f"you sent {MASK} and {MASK}".encode() in told


async def test_a_source_that_is_away_fails_only_the_jobs_that_need_it_and_they_are_retried(receiver: Receiver) -> None:
    is_well = False

    def answer(asked: Asked) -> Answer:
        return (200, {"data": {"data": {"key": "s3cret"}}}) if is_well else (503, {"errors": ["Vault is sealed"]})

    async with serve(answer) as url:
        changes = {"vault_address": url, "vault_token": "t", "breaker_failures": 1}
        async with dispatcher(**changes) as harness:
            stream = await harness.connect()
            away = make_delivery(make_job(receiver.url("/a"), headers={"X-Key": "${secret:vault:secret/a:key}"}))
            other = make_delivery(make_job(receiver.url("/b")))
            await stream.send(away, other)
            assert await outcome(stream, other.execution_id) == Execution.SUCCESS
            assert await outcome(stream, away.execution_id) == Execution.FAILED
            record = next(r for r in harness.history.records if r.execution.status == Execution.FAILED)
            attempts = record.execution.attempts
            assert [attempt.error for attempt in attempts] == [
                "the secret ${secret:vault:secret/a:key} cannot be had: Vault answered 503 (sealed or in standby)"
            ] * 3
            # Nothing was learned about the host, which is well.
            assert not harness.dispatch.breakers.tripped
            is_well = True
            late = make_delivery(make_job(receiver.url("/c"), headers={"X-Key": "${secret:vault:secret/b:key}"}))
            await stream.send(late)
            assert await outcome(stream, late.execution_id) == Execution.SUCCESS
    assert [(r.target, r.headers.get("x-key")) for r in receiver.requests] == [("/b", None), ("/c", "s3cret")]


async def test_a_namespace_gets_what_its_rules_allow(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOS_SECRET_BILLING_KEY", "s3cret")
    async with dispatcher(secret_rules=["billing=env:CHRONOS_SECRET_BILLING_"]) as harness:
        stream = await harness.connect()
        mine, theirs = (
            make_delivery(make_job(receiver.url("/"), headers={"X-Key": "${secret:env:CHRONOS_SECRET_BILLING_KEY}"}))
            for _ in range(2)
        )
        mine.job.namespace = "billing"
        await stream.send(mine, theirs)
        assert await outcome(stream, mine.execution_id) == Execution.SUCCESS
        assert await outcome(stream, theirs.execution_id) == Execution.FAILED
        record = next(r for r in harness.history.records if r.execution.status == Execution.FAILED)
        (attempt,) = record.execution.attempts
        assert 'the namespace "default" may not have it' in attempt.error
    assert [request.headers["x-key"] for request in receiver.requests] == ["s3cret"]
