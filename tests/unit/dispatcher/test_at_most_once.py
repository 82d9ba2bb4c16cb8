"""AT_MOST_ONCE: nothing is sent before the ledger has promised, and nothing that may have arrived is sent again."""

import asyncio
from datetime import timedelta

import pytest
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.scheduler.v1 import job_pb2

from services.dispatcher.domain.event import EventKind
from services.dispatcher.domain.execution import Status
from services.dispatcher.domain.results import Answer, Failure, FailureKind
from tests.deliveries import make_delivery, make_job
from tests.unit.dispatcher.rig import INSTANCE, SECOND, Execution, Rig, open_rig

URL = "http://example.com/"
OK = Answer(status_code=200)
REFUSED = Failure(kind=FailureKind.CONNECT, error="connection refused by example.com:80")


def once(*, delivery: int = 1, execution_id: str = "", epoch: int = 5) -> delivery_pb2.Delivery:
    """A delivery of an AT_MOST_ONCE job."""
    job = make_job(URL)
    job.delivery_guarantee = job_pb2.Job.AT_MOST_ONCE
    return make_delivery(job, delivery=delivery, execution_id=execution_id, epoch=epoch)


async def silence(rig: Rig) -> None:
    """History takes records, and answers nothing."""
    rig.history.is_mute = True


async def answer(rig: Rig) -> None:
    """History answers again, on a new stream."""
    rig.history.is_mute = False
    rig.history.break_streams()
    await rig.advance()


async def test_nothing_is_sent_before_the_claim_is_acknowledged() -> None:
    async with open_rig() as rig:
        await silence(rig)
        delivery = once()
        await rig.send(delivery)
        (claim,) = rig.history.records
        assert (claim.is_claim, claim.claimant) == (True, INSTANCE)
        assert (claim.execution.status, claim.execution.attempt_count) == (Execution.RUNNING, 0)
        assert rig.sender.requests == []
        await answer(rig)
        assert len(rig.sender.requests) == 1
        final = rig.record(delivery.execution_id)
        assert (final.execution.status, final.is_claim) == (Execution.SUCCESS, False)
        assert rig.kinds(delivery.execution_id) == [EventKind.RECORDED, EventKind.FINISHED]


async def test_one_that_somebody_else_has_begun_is_dropped() -> None:
    async with open_rig() as rig:
        delivery = once(delivery=2)
        rig.history.claimants[delivery.execution_id] = "dispatcher-9"
        await rig.send(delivery)
        assert rig.kinds(delivery.execution_id) == [EventKind.CLAIMED]
        assert rig.sender.requests == []
        assert rig.dispatch.deliveries.held_count == 0
        assert rig.scheduler._owed_credit == 1


async def test_a_claim_of_an_epoch_that_is_over_is_stale() -> None:
    async with open_rig() as rig:
        delivery = once()
        rig.history.sealed[delivery.shard] = 6
        await rig.send(delivery)
        assert rig.kinds(delivery.execution_id) == [EventKind.STALE]
        told = rig.scheduler.told[-1]
        assert (told.epoch, told.delivery) == (delivery.epoch, delivery.delivery)
        assert rig.sender.requests == []


async def test_an_adopted_one_that_cannot_be_claimed_any_more_is_given_back() -> None:
    async with open_rig() as rig:
        await silence(rig)
        delivery = once()
        await rig.send(delivery)
        await rig.adopt(delivery.execution_id)
        rig.history.sealed[delivery.shard] = 6
        await answer(rig)
        assert rig.kinds(delivery.execution_id) == [EventKind.HELD, EventKind.RETURNED]
        await rig.send(once(execution_id=delivery.execution_id, delivery=2, epoch=6))
        assert rig.record(delivery.execution_id).execution.status == Execution.SUCCESS
        assert len(rig.sender.requests) == 1


async def test_waiting_for_the_claim_holds_up_nobody() -> None:
    async with open_rig(max_in_flight=1, max_in_flight_per_endpoint=1) as rig:
        await silence(rig)
        await rig.send(once())
        other = make_delivery(make_job(URL))
        await rig.send(other)
        assert [request.headers["X-Chronos-Execution-ID"] for request in rig.sender.requests] == [other.execution_id]


async def test_only_so_many_are_claimed_and_not_begun() -> None:
    async with open_rig(max_in_flight=1, max_claims_per_endpoint=2) as rig:
        rig.sender.gate = asyncio.Event()
        await rig.send(*(once() for _ in range(6)))
        assert len(rig.history.claimants) == 3, "one under way, two more"
        rig.sender.gate.set()
        await rig.advance(10 * SECOND)
        assert len(rig.sender.requests) == 6
        assert not rig.dispatch.claims._gate._lanes


@pytest.mark.parametrize("kind", [FailureKind.NAME, FailureKind.CONNECT, FailureKind.TLS])
async def test_what_was_certainly_not_sent_is_tried_again(kind: FailureKind) -> None:
    async with open_rig(Failure(kind=kind, error="no connection"), OK) as rig:
        delivery = once()
        await rig.send(delivery)
        final = rig.record(delivery.execution_id).execution
        assert (final.status, final.attempt_count) == (Execution.SUCCESS, 2)
        assert sum(record.is_claim for record in rig.history.records) == 1


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Failure(kind=FailureKind.TIMEOUT, error="timed out"), Execution.TIMED_OUT),
        (Failure(kind=FailureKind.BROKEN, error="connection closed"), Execution.FAILED),
        (RuntimeError("boom"), Execution.FAILED),
        (Answer(status_code=503), Execution.FAILED),
        (Answer(status_code=429), Execution.FAILED),
        (Answer(status_code=408), Execution.FAILED),
    ],
)
async def test_what_may_have_arrived_is_never_sent_again(
    result: Answer | Failure | Exception, status: "Execution.Status.ValueType"
) -> None:
    async with open_rig(result, OK) as rig:
        delivery = once()
        await rig.send(delivery)
        await rig.advance(100 * SECOND)
        assert rig.record(delivery.execution_id).execution.status == status
        assert len(rig.sender.requests) == 1


async def test_a_timeout_is_tried_again_at_least_once() -> None:
    async with open_rig(Failure(kind=FailureKind.TIMEOUT, error="timed out"), OK) as rig:
        await rig.send(make_delivery(make_job(URL)))
        assert len(rig.sender.requests) == 2


async def test_a_claimed_one_goes_on_here_although_the_epoch_is_over() -> None:
    async with open_rig(REFUSED, OK) as rig:
        rig.sender.gate = asyncio.Event()
        delivery = once()
        delivery.job.retry_policy.initial_interval.FromMilliseconds(500)
        delivery.job.retry_policy.max_interval.FromMilliseconds(500)
        await rig.send(delivery)
        rig.history.sealed[delivery.shard] = 6
        rig.sender.gate.set()
        await rig.advance()
        assert [len(execution.attempts) for execution in rig.history.of(delivery.execution_id)][-2:] == [1, 2]
        assert EventKind.STALE not in rig.kinds(delivery.execution_id)
        assert rig.record(delivery.execution_id).execution.status == Execution.SUCCESS


async def test_one_that_is_cancelled_before_its_claim_is_sent_ends_once_it_is_ours() -> None:
    async with open_rig() as rig:
        await silence(rig)
        delivery = once()
        await rig.send(delivery)
        await rig.cancel(delivery.execution_id)
        assert rig.scheduler.told == []
        await answer(rig)
        assert rig.record(delivery.execution_id).execution.status == Execution.CANCELLED
        assert rig.sender.requests == []


async def test_one_that_is_cancelled_while_it_waits_to_be_claimed_does_not_wait_for_others() -> None:
    async with open_rig(max_in_flight=1, max_claims_per_endpoint=1) as rig:
        rig.sender.gate = asyncio.Event()
        deliveries = [once() for _ in range(4)]
        await rig.send(*deliveries)
        await rig.cancel(deliveries[3].execution_id)
        assert len(rig.dispatch.claims) == 1
        assert rig.record(deliveries[3].execution_id).execution.status == Execution.CANCELLED
        rig.sender.gate.set()
        await rig.advance(10 * SECOND)
        assert len(rig.sender.requests) == 3
        assert not rig.dispatch.claims._gate._lanes


async def test_a_cancelled_one_that_is_somebody_elses_is_left_to_them() -> None:
    async with open_rig() as rig:
        await silence(rig)
        delivery = once(delivery=2)
        await rig.send(delivery)
        await rig.cancel(delivery.execution_id)
        rig.history.claimants[delivery.execution_id] = "dispatcher-9"
        await answer(rig)
        assert rig.kinds(delivery.execution_id) == [EventKind.CLAIMED]
        assert rig.history.final(delivery.execution_id) is None


async def drain(rig: Rig, span: timedelta = 30 * SECOND) -> None:
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(rig.dispatch.drain())
        while not draining.done():
            await rig.advance(span / 100)


async def test_draining_gives_back_what_is_not_claimed() -> None:
    async with open_rig(max_in_flight=1, max_claims_per_endpoint=1) as rig:
        rig.sender.gate = asyncio.Event()
        sent, claimed, unclaimed = (once() for _ in range(3))
        await rig.send(sent, claimed, unclaimed)
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(drain(rig))
            await rig.advance(timedelta(milliseconds=50))
            assert rig.kinds(unclaimed.execution_id) == [EventKind.RETURNED]
            rig.sender.gate.set()
            await asyncio.wait([draining])
        for delivery in (sent, claimed):
            assert rig.record(delivery.execution_id).execution.status == Execution.SUCCESS
            assert rig.kinds(delivery.execution_id)[-1] is EventKind.FINISHED
        assert len(rig.sender.requests) == 2


async def test_draining_never_gives_back_what_is_claimed() -> None:
    async with open_rig(max_in_flight=1) as rig:
        rig.sender.gate = asyncio.Event()
        sent, queued = once(), once()
        await rig.send(sent, queued)
        await drain(rig)
        lost, failed = (rig.record(delivery.execution_id).execution for delivery in (sent, queued))
        assert (lost.status, lost.reason_code) == (Execution.LOST, Execution.INTERRUPTED)
        assert lost.error == "the dispatcher shut down before the answer came; at most once: it is not sent again"
        assert (failed.status, failed.attempt_count) == (Execution.FAILED, 0)
        assert failed.error.startswith("not sent: the dispatcher shut down; at most once")
        assert EventKind.RETURNED not in [event.kind for event in rig.scheduler.told]
        assert [event.status for event in rig.scheduler.told if event.status] == [Status.LOST, Status.FAILED]


async def test_draining_ends_a_claimed_one_that_waits_for_its_next_attempt() -> None:
    async with open_rig(REFUSED) as rig:
        delivery = once()
        delivery.job.retry_policy.initial_interval.FromSeconds(600)
        delivery.job.retry_policy.max_interval.FromSeconds(600)
        await rig.send(delivery)
        await drain(rig)
        final = rig.record(delivery.execution_id).execution
        assert (final.status, final.attempt_count) == (Execution.FAILED, 1)
        assert final.error.startswith("not sent: the dispatcher shut down")
        assert final.attempts[0].error == REFUSED.error
        assert rig.kinds(delivery.execution_id)[-1] is EventKind.FINISHED


async def test_an_unanswered_claim_is_neither_returned_nor_sent_when_the_dispatcher_goes() -> None:
    async with open_rig() as rig:
        await silence(rig)
        delivery = once()
        await rig.send(delivery)
        await drain(rig)
        assert rig.scheduler.told == []
        assert rig.sender.requests == []
