"""Executions handed over twice, adopted, stale; history that is away; and the orderly end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from chronos.history.v1 import execution_pb2

from libs.clock import SystemClock
from tests.component.dispatcher.harness import Event, Harness, SchedulerStream, open_dispatcher
from tests.deliveries import make_delivery, make_job, quick_settings
from tests.fakes.history import FakeHistory
from tests.receiver import Manner, Receiver, Reply

Execution = execution_pb2.Execution
LATER = {"Retry-After": "600"}


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    async with open_dispatcher() as harness:
        yield harness


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def finished(stream: SchedulerStream) -> int:
    return sum(event.kind == Event.FINISHED for event in stream.events)


async def test_an_execution_handed_over_twice_is_sent_once(harness: Harness, receiver: Receiver) -> None:
    hold = asyncio.Event()
    first, second = await harness.connect(), await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold))))
    await first.send(delivery)
    await receiver.wait_for_count(1)
    await second.send(delivery)
    await second.wait_for(lambda stream: stream.credit == 4096)
    hold.set()
    await second.wait_for_kind(delivery.execution_id, "FINISHED")
    assert "FINISHED" not in first.kinds(delivery.execution_id)
    assert len(receiver.requests) == 1


async def test_the_next_delivery_of_a_held_execution_is_recorded_under_its_number(
    harness: Harness, receiver: Receiver
) -> None:
    hold = asyncio.Event()
    stream = await harness.connect()
    job = make_job(receiver.reply("/slow", Reply(hold=hold)))
    delivery = make_delivery(job)
    again = make_delivery(job, execution_id=delivery.execution_id, delivery=2, epoch=9)
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "RECORDED")
    await stream.send(again)
    await stream.wait_for(lambda stream: stream.kinds(delivery.execution_id).count("RECORDED") == 2)
    hold.set()
    await stream.wait_for_kind(delivery.execution_id, "FINISHED")
    final = harness.history.final(delivery.execution_id)
    assert final is not None
    assert (final.delivery, final.attempt_count, len(receiver.requests)) == (2, 1, 1)
    assert harness.history.records[-1].epoch == 9


async def test_an_execution_that_ended_here_is_not_sent_again(harness: Harness, receiver: Receiver) -> None:
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/gone", Reply(status=404))))
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "FINISHED")
    other = await harness.connect()
    await other.send(delivery)
    await other.wait_for_kind(delivery.execution_id, "FINISHED")
    assert other.event(delivery.execution_id, Event.FINISHED).status == Execution.FAILED
    assert len(receiver.requests) == 1


async def test_adoption_answers_held_and_recorded_or_finished_or_unknown(harness: Harness, receiver: Receiver) -> None:
    hold = asyncio.Event()
    old, new = await harness.connect(), await harness.connect()
    held = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold))))
    ended = make_delivery(make_job(receiver.url("/quick")))
    await old.send(held, ended)
    await old.wait_for_kind(ended.execution_id, "FINISHED")
    await old.wait_for_kind(held.execution_id, "RECORDED")
    old.cancel()
    await new.adopt(held.execution_id, ended.execution_id, "never-seen")
    await new.wait_for(lambda stream: len(stream.events) == 4)
    assert new.kinds(held.execution_id) == ["HELD", "RECORDED"]
    assert new.kinds(ended.execution_id) == ["FINISHED"]
    assert new.kinds("never-seen") == ["UNKNOWN"]
    hold.set()
    await new.wait_for_kind(held.execution_id, "FINISHED")


async def test_an_execution_goes_on_without_its_scheduler(harness: Harness, receiver: Receiver) -> None:
    hold = asyncio.Event()
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold))))
    await stream.send(delivery)
    await receiver.wait_for_count(1)
    stream.cancel()
    await harness.wait_until(lambda: harness.dispatch.streams.count == 0)
    hold.set()
    assert (await harness.history.wait_for_final(delivery.execution_id)).status == Execution.SUCCESS
    await harness.wait_until(lambda: harness.dispatch.deliveries.held_count == 0)


async def test_an_execution_of_an_epoch_that_is_over_is_not_retried(harness: Harness, receiver: Receiver) -> None:
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/busy", Reply(status=503, headers=LATER))), epoch=5)
    harness.history.sealed[delivery.shard] = 6
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "STALE")
    await harness.wait_until(lambda: harness.dispatch.deliveries.held_count == 0)
    assert harness.history.final(delivery.execution_id) is None


async def test_a_success_counts_although_the_epoch_is_over(harness: Harness, receiver: Receiver) -> None:
    hold = asyncio.Event()
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold))), epoch=5)
    harness.history.sealed[delivery.shard] = 6
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "STALE")
    hold.set()
    assert (await harness.history.wait_for_final(delivery.execution_id)).status == Execution.SUCCESS


async def test_a_failure_after_the_end_of_the_epoch_is_left_to_the_next_owner(
    harness: Harness, receiver: Receiver
) -> None:
    hold = asyncio.Event()
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold, status=404))), epoch=5)
    harness.history.sealed[delivery.shard] = 6
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "STALE")
    hold.set()
    await harness.wait_until(lambda: harness.dispatch.deliveries.held_count == 0)
    assert harness.history.final(delivery.execution_id) is None


async def test_an_adopted_execution_goes_on_in_the_next_epoch(harness: Harness, receiver: Receiver) -> None:
    hold = asyncio.Event()
    stream = await harness.connect()
    url = receiver.reply("/flaky", Reply(hold=hold, status=503), Reply())
    delivery = make_delivery(make_job(url), epoch=5)
    await stream.send(delivery)
    await stream.wait_for_kind(delivery.execution_id, "RECORDED")
    owner = await harness.connect()
    harness.history.sealed[delivery.shard] = 6
    await owner.adopt(delivery.execution_id)
    await owner.wait_for_kind(delivery.execution_id, "HELD")
    hold.set()
    await owner.wait_for_kind(delivery.execution_id, "FINISHED")
    assert owner.event(delivery.execution_id, Event.FINISHED).status == Execution.SUCCESS
    assert "STALE" not in owner.kinds(delivery.execution_id)


async def test_records_wait_for_history_and_nothing_is_lost(receiver: Receiver) -> None:
    async with open_dispatcher(quick_settings(max_buffered_records=20, credit_per_stream=30)) as harness:
        harness.history.is_away = True
        harness.history.break_streams()
        stream = await harness.connect()
        job = make_job(receiver.url())
        deliveries = [make_delivery(job) for _ in range(30)]
        await stream.send(*deliveries)
        await receiver.wait_for_count(30)
        await harness.wait_until(lambda: harness.dispatch.recorder.backlog == 30)
        assert not harness.dispatch.has_room
        assert stream.credit < 30
        assert finished(stream) == 0
        harness.history.is_away = False
        await stream.wait_for(lambda stream: finished(stream) == 30)
        await stream.wait_for(lambda stream: stream.credit == 30)
        assert len(receiver.requests) == 30


async def test_what_history_did_not_acknowledge_is_sent_again(harness: Harness, receiver: Receiver) -> None:
    await harness.history.wait_for(lambda history: history.opened == 1)
    harness.history.is_mute = True
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.url()))
    await stream.send(delivery)
    await harness.history.wait_for_final(delivery.execution_id)
    harness.history.is_mute = False
    harness.history.break_streams()
    await stream.wait_for_kind(delivery.execution_id, "FINISHED")
    assert harness.history.opened == 2
    assert len(receiver.requests) == 1


async def test_attempts_of_earlier_deliveries_are_continued(harness: Harness, receiver: Receiver) -> None:
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.reply("/bad", Reply(status=500)), max_attempts=3), delivery=2)
    delivery.attempts.add(number=1, error="connection refused").started_at.FromSeconds(1_767_268_800)
    await stream.send(delivery)
    execution = await harness.history.wait_for_final(delivery.execution_id)
    assert [request.headers["x-chronos-attempt"] for request in receiver.requests] == ["2", "3"]
    assert (execution.attempt_count, execution.started_at.seconds) == (3, 1_767_268_800)
    assert execution.attempts[0].error == "connection refused"


async def test_a_retry_that_another_dispatcher_promised_is_not_made_earlier(
    harness: Harness, receiver: Receiver
) -> None:
    stream = await harness.connect()
    delivery = make_delivery(make_job(receiver.url()), delivery=2)
    attempt = delivery.attempts.add(number=1, error="answered 503 Service Unavailable")
    attempt.retry_at.FromDatetime(SystemClock().now() + timedelta(hours=1))
    await stream.send(delivery)
    await harness.wait_until(lambda: len(harness.dispatch.retries) == 1)
    await stream.wait_for(lambda stream: stream.credit == 4096)
    assert receiver.requests == []


async def test_draining_finishes_what_is_under_way_and_returns_the_rest(receiver: Receiver) -> None:
    hold = asyncio.Event()
    async with open_dispatcher(quick_settings(max_in_flight=1)) as harness:
        stream = await harness.connect()
        waiting = make_delivery(make_job(receiver.reply("/busy", Reply(status=503, headers=LATER))))
        sent = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold))))
        queued = make_delivery(make_job(receiver.url("/later")))
        late = make_delivery(make_job(receiver.url("/late")))
        await stream.send(waiting, sent, queued)
        await receiver.wait_for_count(2)
        async with asyncio.TaskGroup() as group:
            group.create_task(harness.dispatch.drain())
            await stream.wait_for(lambda stream: stream.is_draining)
            await stream.wait_for_kind(queued.execution_id, "RETURNED")
            await stream.send(late)
            await stream.wait_for_kind(late.execution_id, "RETURNED")
            hold.set()
        await stream.wait_for(lambda stream: stream.has_ended)
    assert stream.kinds(sent.execution_id)[-1] == "FINISHED"
    assert [len(stream.event(d.execution_id, Event.RETURNED).attempts) for d in (waiting, queued, late)] == [1, 0, 0]
    assert harness.history.of(waiting.execution_id)[-1].attempts[0].status_code == 503
    assert len(receiver.requests) == 2


async def test_draining_gives_up_on_an_endpoint_that_does_not_answer(receiver: Receiver) -> None:
    async with open_dispatcher(quick_settings(drain_timeout="100ms")) as harness:
        stream = await harness.connect()
        stuck = make_delivery(make_job(receiver.reply("/silent", Reply(manner=Manner.SILENT))))
        await stream.send(stuck)
        await receiver.wait_for_count(1)
        await harness.dispatch.drain()
        await stream.wait_for(lambda stream: stream.has_ended)
    (attempt,) = stream.event(stuck.execution_id, Event.RETURNED).attempts
    assert attempt.error == "the dispatcher shut down before the answer came"
    assert harness.history.of(stuck.execution_id)[-1].attempts[0].error == attempt.error


async def test_draining_does_not_wait_for_a_history_that_is_away(receiver: Receiver) -> None:
    async with open_dispatcher(quick_settings(drain_timeout="100ms")) as harness:
        history: FakeHistory = harness.history
        await history.wait_for(lambda history: history.opened == 1)
        history.is_away = True
        history.break_streams()
        stream = await harness.connect()
        await stream.send(make_delivery(make_job(receiver.url())))
        await harness.wait_until(lambda: harness.dispatch.recorder.backlog == 1)
        await harness.dispatch.drain()
        await stream.wait_for(lambda stream: stream.has_ended)
        assert harness.dispatch.recorder.backlog == 1
