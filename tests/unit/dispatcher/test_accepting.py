"""Executions that their targets accept, to tell later how they ended."""

from datetime import timedelta
from typing import Any

import pytest
from chronos.scheduler.v1 import completion_pb2, job_pb2

from services.dispatcher.domain.event import EventKind
from services.dispatcher.domain.results import Answer
from tests.deliveries import make_delivery, make_job
from tests.unit.dispatcher.rig import SECOND, Execution, Listener, open_rig

URL = "http://example.com/"
ACCEPTED = Answer(status_code=202, body=b"queued")


def asynchronous(**fields: Any) -> job_pb2.Job:
    """A job whose webhook accepts with 202."""
    job = make_job(URL)
    job.completion.CopyFrom(completion_pb2.Completion(**fields))
    return job


async def test_what_is_accepted_stays_under_way_and_is_let_go() -> None:
    async with open_rig(ACCEPTED) as rig:
        delivery = make_delivery(asynchronous(deadline=timedelta(minutes=5)))
        await rig.send(delivery)
        told = rig.record(delivery.execution_id).execution
        assert (told.status, told.reason_code, told.attempt_count) == (Execution.RUNNING, Execution.ACCEPTED, 1)
        assert (told.status_code, told.response, told.error) == (202, "queued", "")
        assert not told.HasField("completed_at")
        answered_at = told.attempts[0].started_at.ToDatetime() + told.attempts[0].duration.ToTimedelta()
        assert told.complete_by.ToDatetime() - answered_at == timedelta(minutes=5)
        assert rig.kinds(delivery.execution_id) == [EventKind.ACCEPTED]
        assert rig.dispatch.deliveries.held_count == 0
        assert rig.dispatch.recorder.backlog == 0


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        ({}, 200, Execution.SUCCESS),
        ({}, 500, Execution.FAILED),
        ({"accepted_codes": [200]}, 200, Execution.RUNNING),
        ({"accepted_codes": [200]}, 202, Execution.SUCCESS),
    ],
)
async def test_only_the_codes_of_acceptance_accept(
    fields: dict[str, Any], code: int, status: "Execution.Status.ValueType"
) -> None:
    async with open_rig(Answer(status_code=code)) as rig:
        delivery = make_delivery(asynchronous(**fields))
        await rig.send(delivery)
        told = rig.record(delivery.execution_id).execution
        assert told.status == status
        is_accepted = code in fields.get("accepted_codes", [202])
        assert (told.reason_code == Execution.ACCEPTED) == is_accepted


async def test_without_a_completion_202_is_the_end() -> None:
    async with open_rig(ACCEPTED) as rig:
        delivery = make_delivery(make_job(URL))
        await rig.send(delivery)
        assert rig.record(delivery.execution_id).execution.status == Execution.SUCCESS


async def test_what_failed_first_is_accepted_later() -> None:
    async with open_rig(Answer(status_code=503), ACCEPTED) as rig:
        delivery = make_delivery(asynchronous())
        await rig.send(delivery)
        await rig.advance(10 * SECOND)
        told = rig.record(delivery.execution_id).execution
        assert (told.reason_code, told.attempt_count, len(told.attempts)) == (Execution.ACCEPTED, 2, 2)


async def test_a_scheduler_that_missed_it_hears_it_again_and_nothing_is_sent_twice() -> None:
    async with open_rig(ACCEPTED) as rig:
        delivery = make_delivery(asynchronous())
        await rig.send(delivery)
        rig.scheduler = Listener()
        await rig.adopt(delivery.execution_id)
        await rig.send(delivery)
        assert rig.kinds(delivery.execution_id) == [EventKind.ACCEPTED, EventKind.ACCEPTED]
        assert len(rig.sender.requests) == 1


@pytest.mark.parametrize(("is_at_most_once", "requests"), [(True, 1), (False, 2)])
async def test_a_later_delivery_is_sent_again_unless_it_may_be_sent_once(is_at_most_once: bool, requests: int) -> None:
    async with open_rig(ACCEPTED, ACCEPTED) as rig:
        job = asynchronous()
        if is_at_most_once:
            job.delivery_guarantee = job_pb2.Job.AT_MOST_ONCE
        delivery = make_delivery(job)
        await rig.send(delivery)
        rig.scheduler = Listener()
        delivery.delivery += 1
        await rig.send(delivery)
        assert rig.kinds(delivery.execution_id)[-1] == EventKind.ACCEPTED
        assert len(rig.sender.requests) == requests


async def test_it_is_told_only_once_it_is_durable() -> None:
    async with open_rig(ACCEPTED) as rig:
        rig.history.is_away = True
        delivery = make_delivery(asynchronous())
        await rig.send(delivery)
        assert rig.kinds(delivery.execution_id) == []
        await rig.cancel(delivery.execution_id)
        rig.history.is_away = False
        await rig.advance(5 * SECOND)
        assert rig.kinds(delivery.execution_id)[-1] == EventKind.ACCEPTED
        assert rig.record(delivery.execution_id).execution.reason_code == Execution.ACCEPTED
