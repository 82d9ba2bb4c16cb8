"""A scheduler's stream in, real HTTP out, records to history."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2

from libs.rpc.channel import open_channel
from services.dispatcher.domain.results import Answer
from tests.component.dispatcher.harness import Event, Harness, SchedulerStream, open_dispatcher
from tests.deliveries import SCHEDULED, TRACE_ID, make_delivery, make_job, quick_settings
from tests.fakes.sender import FakeSender
from tests.receiver import Manner, Receiver, Reply

Execution = execution_pb2.Execution


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    async with open_dispatcher() as harness:
        yield harness


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def test_a_stream_begins_with_credit(harness: Harness) -> None:
    stream = await harness.connect()
    assert stream.credit == 4096


async def test_a_stream_without_the_mesh_token_is_refused(harness: Harness) -> None:
    channel = open_channel(harness.address, mesh_token="wrong")
    stream = SchedulerStream(channel)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stream._call.read()
    assert refused.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    await channel.close()


async def test_an_execution_is_delivered_recorded_and_reported(harness: Harness, receiver: Receiver) -> None:
    stream = await harness.connect()
    body = '{"job": "{{.JobName}}", "attempt": {{.Attempt}}}'
    delivery = make_delivery(make_job(receiver.url("/hook"), body=body, headers={"X-Team": "billing"}))
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "FINISHED")
    assert stream.event(delivery.execution_id, Event.FINISHED).status == Execution.SUCCESS

    (received,) = receiver.requests
    assert (received.method, received.target) == ("POST", "/hook")
    assert json.loads(received.body) == {"job": 'Büro "report"', "attempt": 1}
    headers = received.headers
    assert headers["x-chronos-job-id"] == "report"
    assert headers["x-chronos-execution-id"] == headers["idempotency-key"] == delivery.execution_id
    assert headers["x-chronos-scheduled-time"] == "2026-01-01T12:00:00Z"
    assert headers["x-chronos-attempt"] == "1"
    assert headers["x-team"] == "billing"
    assert headers["user-agent"] == "Chronos/test"
    assert headers["content-type"] == "application/json"
    assert headers["traceparent"].startswith(f"00-{TRACE_ID}-")

    record = next(r for r in harness.history.records if r.execution.status == Execution.SUCCESS)
    execution = record.execution
    assert (record.shard, record.epoch) == (3, 5)
    assert (execution.namespace, execution.job_id, execution.job_version) == ("default", "report", 7)
    assert (execution.job_uid, execution.job_name) == (delivery.job.uid, delivery.job.name)
    assert (execution.cause, execution.delivery, execution.trace_id) == (Execution.SCHEDULE, 1, TRACE_ID)
    assert execution.scheduled_time.ToDatetime(SCHEDULED.tzinfo) == SCHEDULED
    assert (execution.attempt_count, execution.status_code, execution.response) == (1, 200, "ok")
    assert (execution.error, execution.is_response_truncated) == ("", False)
    assert execution.started_at == execution.attempts[0].started_at
    assert execution.completed_at.ToNanoseconds() > execution.started_at.ToNanoseconds()
    assert execution.duration == execution.attempts[0].duration
    assert not execution.attempts[0].HasField("retry_at")


async def test_the_start_is_recorded_while_the_endpoint_still_works(harness: Harness, receiver: Receiver) -> None:
    hold = asyncio.Event()
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold))))
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "RECORDED")
    (running,) = harness.history.of(delivery.execution_id)
    assert (running.status, running.attempt_count, len(running.attempts)) == (Execution.RUNNING, 1, 0)
    assert running.HasField("started_at")
    assert not running.HasField("completed_at")
    hold.set()
    await stream.wait_for_kind(delivery.execution_id, "FINISHED")
    assert stream.kinds(delivery.execution_id) == ["RECORDED", "FINISHED"]


async def test_a_failed_attempt_is_repeated_until_it_succeeds(harness: Harness, receiver: Receiver) -> None:
    url = receiver.reply("/flaky", Reply(status=503), Reply(manner=Manner.RESET), Reply(body=b"at last"))
    stream = await harness.connect()
    delivery = make_delivery(make_job(url))
    await stream.send(delivery)
    execution = await harness.history.wait_for_final(delivery.execution_id)
    assert (execution.status, execution.attempt_count, execution.response) == (Execution.SUCCESS, 3, "at last")
    assert [attempt.number for attempt in execution.attempts] == [1, 2, 3]
    assert [attempt.status_code for attempt in execution.attempts] == [503, 0, 200]
    assert execution.attempts[0].error == "answered 503 Service Unavailable"
    assert execution.attempts[1].error == f"connection closed by 127.0.0.1:{receiver.port} before it answered"
    assert [attempt.HasField("retry_at") for attempt in execution.attempts] == [True, True, False]
    assert [request.headers["x-chronos-attempt"] for request in receiver.requests] == ["1", "2", "3"]
    assert len({request.headers["idempotency-key"] for request in receiver.requests}) == 1


async def test_the_last_attempt_ends_it(harness: Harness, receiver: Receiver) -> None:
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/broken", Reply(status=500, body=b"no")), max_attempts=2))
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "FINISHED")
    execution = harness.history.final(delivery.execution_id)
    assert execution is not None
    assert (execution.status, execution.attempt_count, execution.status_code) == (Execution.FAILED, 2, 500)
    assert (execution.error, execution.response) == ("answered 500 Internal Server Error", "no")
    assert stream.event(delivery.execution_id, Event.FINISHED).status == Execution.FAILED


async def test_a_permanent_failure_is_not_repeated(harness: Harness, receiver: Receiver) -> None:
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/gone", Reply(status=410))))
    await stream.send(delivery)
    execution = await harness.history.wait_for_final(delivery.execution_id)
    assert (execution.status, execution.error) == (Execution.FAILED, "answered 410 Gone")
    assert len(receiver.requests) == 1


async def test_an_endpoint_that_is_too_slow_times_out(harness: Harness, receiver: Receiver) -> None:
    job = make_job(receiver.reply("/silent", Reply(manner=Manner.SILENT)), max_attempts=1)
    job.timeout.FromTimedelta(timedelta(hours=1))
    job.webhook.timeout.FromTimedelta(timedelta(milliseconds=30))
    delivery = make_delivery(job)
    await (await harness.connect()).send(delivery)
    execution = await harness.history.wait_for_final(delivery.execution_id)
    assert (execution.status, execution.error) == (Execution.TIMED_OUT, "timed out after 30ms")


async def test_an_oversized_answer_fails_with_a_reason(harness: Harness, receiver: Receiver) -> None:
    delivery = make_delivery(make_job(receiver.reply("/endless", Reply(manner=Manner.ENDLESS, body=b"x" * 1000))))
    await (await harness.connect()).send(delivery)
    execution = await harness.history.wait_for_final(delivery.execution_id)
    assert (execution.status, len(execution.response)) == (Execution.FAILED, 16 * 1024)
    assert "more than 1,048,576 bytes" in execution.error
    assert execution.is_response_truncated


async def test_retry_after_is_honoured(harness: Harness, receiver: Receiver) -> None:
    url = receiver.reply("/busy", Reply(status=429, headers={"Retry-After": "3600"}))
    delivery = make_delivery(make_job(url))
    await (await harness.connect()).send(delivery)
    await harness.history.wait_for(lambda history: any(e.attempts for e in history.of(delivery.execution_id)))
    waiting = harness.history.of(delivery.execution_id)[-1]
    assert (waiting.status, waiting.attempt_count) == (Execution.RUNNING, 1)
    assert waiting.attempts[0].retry_at.seconds - waiting.attempts[0].started_at.seconds >= 3600
    assert len(harness.dispatch.retries) == 1


async def test_waiting_for_a_retry_holds_no_worker(receiver: Receiver) -> None:
    async with open_dispatcher(quick_settings(max_in_flight=1)) as harness:
        stream = await harness.connect()
        busy = make_delivery(make_job(receiver.reply("/busy", Reply(status=503, headers={"Retry-After": "60"}))))
        good = make_delivery(make_job(receiver.url("/good")))
        await stream.send(busy, good)
        await stream.wait_for_kind(good.execution_id, "FINISHED")
        assert harness.dispatch.delivery_loop.busy == 0


async def test_a_slow_endpoint_does_not_hold_up_the_others(receiver: Receiver) -> None:
    settings = quick_settings(max_in_flight=4, max_in_flight_per_endpoint=2)
    async with open_dispatcher(settings) as harness, Receiver() as stuck:
        stream = await harness.connect()
        slow = make_job(stuck.reply("/", Reply(manner=Manner.SILENT)))
        good = make_delivery(make_job(receiver.url()))
        await stream.send(*(make_delivery(slow) for _ in range(20)), good)
        await stream.wait_for_kind(good.execution_id, "FINISHED")
        assert len(stuck.requests) == 2


async def test_no_more_requests_than_allowed_are_under_way(receiver: Receiver) -> None:
    sender = FakeSender()
    sender.gate = asyncio.Event()
    async with open_dispatcher(quick_settings(max_in_flight=5), sender=sender) as harness:
        stream = await harness.connect()
        job = make_job("http://example.com/")
        await stream.send(*(make_delivery(job) for _ in range(50)))
        await harness.wait_until(lambda: harness.dispatch.deliveries.held_count == 50)
        await harness.wait_until(lambda: len(sender.requests) == 5)
        sender.gate.set()
        await stream.wait_for(lambda stream: sum(event.kind == Event.FINISHED for event in stream.events) == 50)
        assert sender.most_at_once == 5
        assert harness.dispatch.deliveries.held_count == 0


async def test_an_error_in_one_delivery_does_not_end_the_loop() -> None:
    sender = FakeSender(RuntimeError("boom"), RuntimeError("boom"), Answer(status_code=200))
    async with open_dispatcher(sender=sender) as harness:
        stream = await harness.connect()
        first = make_delivery(make_job("http://example.com/", max_attempts=2))
        second = make_delivery(make_job("http://example.com/"))
        await stream.send(first)
        await stream.wait_for_kind(first.execution_id, "FINISHED")
        await stream.send(second)
        await stream.wait_for_kind(second.execution_id, "FINISHED")
        failed = harness.history.final(first.execution_id)
        assert failed is not None
        assert failed.status == Execution.FAILED
        assert failed.error.startswith("internal error")


async def test_a_job_that_cannot_be_delivered_fails_with_a_reason(harness: Harness) -> None:
    delivery = make_delivery(job_pb2.Job(id="empty", uid="u", version=1))
    wrong = make_delivery(make_job("nonsense"))
    await (await harness.connect()).send(delivery, wrong)
    assert "no target" in (await harness.history.wait_for_final(delivery.execution_id)).error
    assert "URL is not valid" in (await harness.history.wait_for_final(wrong.execution_id)).error


async def test_credit_comes_back_after_the_first_attempt(receiver: Receiver) -> None:
    url = receiver.reply("/busy", Reply(status=503, headers={"Retry-After": "60"}))
    async with open_dispatcher(quick_settings(credit_per_stream=10)) as harness:
        stream = await harness.connect()
        job = make_job(url)
        await stream.send(*(make_delivery(job) for _ in range(10)))
        await stream.wait_for(lambda stream: stream.credit == 10)
        assert harness.dispatch.deliveries.held_count == 10


async def test_news_travel_in_batches(receiver: Receiver) -> None:
    async with open_dispatcher(quick_settings(event_interval="20ms", record_interval="20ms")) as harness:
        stream = await harness.connect()
        job = make_job(receiver.url())
        await stream.send(*(make_delivery(job) for _ in range(500)))
        await stream.wait_for(lambda stream: sum(event.kind == Event.FINISHED for event in stream.events) == 500)
        assert stream.messages < 100
        assert len(harness.history.batches) < 100
