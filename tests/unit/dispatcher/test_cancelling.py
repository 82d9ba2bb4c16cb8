"""Executions that are stopped, wherever they are."""

import asyncio

from services.dispatcher.domain.event import EventKind
from services.dispatcher.domain.execution import Status
from services.dispatcher.domain.results import Answer
from tests.deliveries import make_delivery, make_job
from tests.unit.dispatcher.rig import SECOND, Execution, Rig, open_rig

URL = "http://example.com/"
BUSY = Answer(status_code=503, body=b"later", retry_after="600")


def hold(rig: Rig) -> asyncio.Event:
    """Lets requests wait for their answers."""
    rig.sender.gate = asyncio.Event()
    return rig.sender.gate


async def test_nobody_waits_for_a_request_under_way() -> None:
    async with open_rig() as rig:
        hold(rig)
        delivery = make_delivery(make_job(URL))
        await rig.send(delivery)
        assert rig.dispatch.delivery_loop.busy == 1
        await rig.cancel(delivery.execution_id)
        assert rig.dispatch.delivery_loop.busy == 0
        final = rig.record(delivery.execution_id).execution
        assert (final.status, final.reason) == (Execution.CANCELLED, "stopped by ann")
        assert final.reason_code == Execution.CANCELLED_BY_USER
        assert (len(final.attempts), final.attempts[0].error) == (1, "stopped by ann")
        assert final.attempts[0].duration.seconds == 1
        assert final.HasField("completed_at")
        assert rig.scheduler.told[-1].status is Status.CANCELLED
        assert rig.kinds(delivery.execution_id) == [EventKind.RECORDED, EventKind.FINISHED]
        assert rig.dispatch.deliveries.held_count == 0


async def test_the_next_one_takes_its_turn() -> None:
    async with open_rig(max_in_flight=1) as rig:
        gate = hold(rig)
        first, second = make_delivery(make_job(URL)), make_delivery(make_job(URL))
        await rig.send(first, second)
        await rig.cancel(first.execution_id)
        assert len(rig.sender.requests) == 2
        gate.set()
        await rig.advance()
        assert rig.record(first.execution_id).execution.status == Execution.CANCELLED
        assert rig.record(second.execution_id).execution.status == Execution.SUCCESS
        assert rig.dispatch.delivery_loop.busy == 0


async def test_an_endpoint_that_hangs_gets_no_more_requests_however_often_they_are_cancelled() -> None:
    async with open_rig(max_in_flight_per_endpoint=2) as rig:
        gate = hold(rig)
        deliveries = [make_delivery(make_job(URL)) for _ in range(6)]
        await rig.send(*deliveries)
        for delivery in deliveries[:5]:
            await rig.cancel(delivery.execution_id)
        assert (len(rig.sender.requests), rig.sender.at_once, rig.dispatch.delivery_loop.busy) == (2, 2, 0)
        gate.set()
        await rig.advance()
        assert len(rig.sender.requests) == 3
        assert rig.record(deliveries[5].execution_id).execution.status == Execution.SUCCESS


async def test_a_late_answer_changes_nothing() -> None:
    async with open_rig() as rig:
        gate = hold(rig)
        delivery = make_delivery(make_job(URL))
        await rig.send(delivery)
        await rig.cancel(delivery.execution_id)
        count = len(rig.history.records)
        gate.set()
        await rig.advance()
        assert len(rig.history.records) == count
        assert rig.kinds(delivery.execution_id) == [EventKind.RECORDED, EventKind.FINISHED]
        assert rig.dispatch.deliveries._lanes._lanes == {}


async def test_a_retry_that_waits_is_dropped() -> None:
    async with open_rig(BUSY, Answer(status_code=200)) as rig:
        delivery = make_delivery(make_job(URL))
        await rig.send(delivery)
        await rig.cancel(delivery.execution_id)
        await rig.advance(1000 * SECOND)
        final = rig.record(delivery.execution_id).execution
        assert (final.status, final.attempt_count, len(final.attempts)) == (Execution.CANCELLED, 1, 1)
        assert (final.response, final.status_code) == ("later", 503)
        assert len(rig.sender.requests) == 1


async def test_one_that_is_queued_is_never_sent() -> None:
    async with open_rig(max_in_flight=1) as rig:
        gate = hold(rig)
        first, second = make_delivery(make_job(URL)), make_delivery(make_job(URL))
        await rig.send(first, second)
        await rig.cancel(second.execution_id)
        final = rig.record(second.execution_id).execution
        assert (final.status, final.attempt_count) == (Execution.CANCELLED, 0)
        assert not final.HasField("started_at")
        assert rig.dispatch.deliveries.queued_count == 0
        gate.set()
        await rig.advance()
        assert len(rig.sender.requests) == 1


async def test_a_success_that_came_first_wins() -> None:
    async with open_rig() as rig:
        delivery = make_delivery(make_job(URL))
        rig.history.is_mute = True
        await rig.send(delivery)
        await rig.cancel(delivery.execution_id)
        assert rig.record(delivery.execution_id).execution.status == Execution.SUCCESS
        rig.history.is_mute = False
        rig.history.break_streams()
        await rig.advance()
        assert rig.scheduler.told[-1].status is Status.SUCCESS


async def test_an_unknown_execution_is_passed_over() -> None:
    async with open_rig() as rig:
        await rig.cancel("11111111-1111-1111-1111-111111111111")
        assert rig.history.records == []
        assert rig.scheduler.told == []


async def test_the_end_reaches_a_ledger_that_was_away() -> None:
    async with open_rig() as rig:
        hold(rig)
        delivery = make_delivery(make_job(URL))
        await rig.send(delivery)
        rig.history.is_away = True
        rig.history.break_streams()
        await rig.cancel(delivery.execution_id)
        assert rig.kinds(delivery.execution_id) == [EventKind.RECORDED]
        rig.history.is_away = False
        await rig.advance()
        assert rig.record(delivery.execution_id).execution.status == Execution.CANCELLED
        assert rig.scheduler.told[-1].status is Status.CANCELLED


async def test_a_scheduler_that_missed_the_end_hears_of_it() -> None:
    async with open_rig() as rig:
        hold(rig)
        delivery = make_delivery(make_job(URL))
        await rig.send(delivery)
        await rig.cancel(delivery.execution_id)
        rig.scheduler.told.clear()
        await rig.adopt(delivery.execution_id)
        assert [event.status for event in rig.scheduler.told] == [Status.CANCELLED]


async def test_credit_comes_back_although_the_ledger_is_away() -> None:
    async with open_rig() as rig:
        hold(rig)
        delivery = make_delivery(make_job(URL))
        await rig.send(delivery)
        rig.history.is_away = True
        assert rig.scheduler._owed_credit == 0
        await rig.cancel(delivery.execution_id)
        assert rig.scheduler._owed_credit == 1


async def test_a_replaced_run_says_so() -> None:
    async with open_rig() as rig:
        hold(rig)
        delivery = make_delivery(make_job(URL))
        await rig.send(delivery)
        await rig.cancel(delivery.execution_id, "a newer run took its place", Execution.REPLACED)
        final = rig.record(delivery.execution_id).execution
        assert (final.reason, final.reason_code) == ("a newer run took its place", Execution.REPLACED)
