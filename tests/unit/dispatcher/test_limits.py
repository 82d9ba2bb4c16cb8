"""Targets that take only so much."""

import asyncio
from datetime import timedelta

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.scheduler.v1 import job_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.convert import read_delivery
from services.dispatcher.convert_plans import read_plan
from services.dispatcher.domain.event import EventKind
from services.dispatcher.domain.execution import resume
from services.dispatcher.domain.limits import Limits, Usage
from services.dispatcher.domain.results import Answer
from services.dispatcher.held import Held, Stage
from services.dispatcher.streams import Outbox
from services.dispatcher.throttles import Throttles
from tests.deliveries import make_delivery, make_job
from tests.fakes.clock import FakeClock
from tests.unit.dispatcher.rig import SECOND, open_rig

URL = "http://example.com/"


def limited(name: str = "", *, url: str = URL, job: str = "report", **limits: int) -> delivery_pb2.Delivery:
    made = make_job(url)
    made.id, made.uid = job, f"uid-{job}"
    made.limits.name = name
    for field, value in limits.items():
        setattr(made.limits, field, value)
    return make_delivery(made)


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5))
def test_no_stretch_as_long_as_the_period_has_more_begins_than_allowed(gaps: list[float], most: int) -> None:
    limits, usage, now, begins = Limits(key="k", max_per_period=most, period=SECOND), Usage(), 0.0, []
    for gap in gaps:
        now = max(now + gap, usage.free_at(limits))
        usage.forget(now - 1, most)
        usage.begin(now)
        begins.append(now)
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in zip(begins, begins[most:], strict=False))


async def test_no_more_attempts_than_allowed_are_under_way() -> None:
    async with open_rig() as rig:
        rig.sender.gate = asyncio.Event()
        await rig.send(*(limited(max_concurrent=2) for _ in range(5)))
        assert len(rig.sender.requests) == 2
        rig.sender.gate.set()
        await rig.advance()
        assert len(rig.sender.requests) == 5
        assert rig.sender.most_at_once == 2


async def test_no_more_attempts_than_allowed_begin_within_a_period() -> None:
    async with open_rig() as rig:
        await rig.send(*(limited(max_per_period=3) for _ in range(8)))
        assert len(rig.sender.requests) in (3, 6)
        begun = []
        for _ in range(30):
            begun.append(len(rig.sender.requests))
            await rig.advance(SECOND / 10)
        assert begun[-1] == 8
        assert all(later - earlier <= 3 for earlier, later in zip(begun, begun[9:], strict=False))


async def test_repeated_attempts_count() -> None:
    async with open_rig(Answer(status_code=503)) as rig:
        delivery = limited(max_per_period=1)
        delivery.job.limits.period.FromTimedelta(10 * SECOND)
        await rig.send(delivery)
        assert len(rig.sender.requests) == 1
        await rig.advance(8 * SECOND)
        assert len(rig.sender.requests) == 1
        await rig.advance(2 * SECOND)
        assert len(rig.sender.requests) == 2


async def test_jobs_share_limits_of_one_name_and_others_do_not_wait() -> None:
    async with open_rig() as rig:
        rig.sender.gate = asyncio.Event()
        await rig.send(
            limited("crm", job="one", url="http://one.example.com/", max_concurrent=1),
            limited("crm", job="two", url="http://two.example.com/", max_concurrent=1),
            limited(job="three", max_concurrent=1),
            make_delivery(make_job(URL)),
        )
        sent = [request.headers["X-Chronos-Job-ID"] for request in rig.sender.requests]
        assert sorted(sent) == ["one", "report", "three"]
        rig.sender.gate.set()
        await rig.advance()
        assert len(rig.sender.requests) == 4


async def test_one_that_waits_for_its_target_uses_up_no_credit() -> None:
    async with open_rig() as rig:
        rig.sender.gate = asyncio.Event()
        deliveries = [limited(max_concurrent=1) for _ in range(3)]
        await rig.send(*deliveries)
        held = [rig.dispatch.deliveries.find(delivery.execution_id) for delivery in deliveries]
        assert [one.creditor is None for one in held if one is not None] == [False, True, True]


async def test_one_that_waits_can_be_cancelled_and_the_next_one_goes() -> None:
    async with open_rig() as rig:
        rig.sender.gate = asyncio.Event()
        deliveries = [limited(max_concurrent=1) for _ in range(3)]
        await rig.send(*deliveries)
        await rig.cancel(deliveries[1].execution_id)
        assert rig.kinds(deliveries[1].execution_id)[-1] is EventKind.FINISHED
        rig.sender.gate.set()
        await rig.advance()
        sent = [request.headers["X-Chronos-Execution-ID"] for request in rig.sender.requests]
        assert sent == [deliveries[0].execution_id, deliveries[2].execution_id]


async def test_a_cancelled_attempt_keeps_its_place_until_its_request_is_over() -> None:
    async with open_rig() as rig:
        rig.sender.gate = asyncio.Event()
        first, second = limited(max_concurrent=1), limited(max_concurrent=1)
        await rig.send(first, second)
        await rig.cancel(first.execution_id)
        assert len(rig.sender.requests) == 1
        rig.sender.gate.set()
        await rig.advance()
        assert len(rig.sender.requests) == 2


async def test_a_claim_is_made_only_when_the_target_has_room() -> None:
    async with open_rig() as rig:
        rig.sender.gate = asyncio.Event()
        deliveries = [limited(max_concurrent=1) for _ in range(2)]
        for delivery in deliveries:
            delivery.job.delivery_guarantee = job_pb2.Job.AT_MOST_ONCE
        await rig.send(*deliveries)
        claims = [record.execution.id for record in rig.history.records if record.is_claim]
        assert claims == [deliveries[0].execution_id]
        await rig.cancel(deliveries[1].execution_id)
        assert rig.kinds(deliveries[1].execution_id)[-1] is EventKind.FINISHED
        rig.sender.gate.set()
        await rig.advance()
        assert len(rig.sender.requests) == 1


async def test_a_draining_dispatcher_gives_back_what_waits_for_its_target() -> None:
    async with open_rig(drain_timeout=timedelta(seconds=5)) as rig:
        rig.sender.gate = asyncio.Event()
        first, second = limited(max_concurrent=1), limited(max_concurrent=1)
        await rig.send(first, second)
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.dispatch.drain())
            await rig.advance(SECOND / 10)
            assert rig.kinds(second.execution_id)[-1] is EventKind.RETURNED
            rig.sender.gate.set()
            await rig.advance(10 * SECOND)
        assert rig.kinds(first.execution_id)[-1] is EventKind.FINISHED


async def test_limits_that_nothing_uses_are_forgotten() -> None:
    async with open_rig() as rig:
        await rig.send(limited(max_per_period=1), limited("crm", max_concurrent=1))
        await rig.advance(3 * SECOND)
        assert len(rig.sender.requests) == 2
        assert rig.dispatch.throttles.key_count == 0


async def test_a_key_that_an_attempt_s_end_forgets_when_its_time_is_up_stops_nothing() -> None:
    clock, gone = FakeClock(), list[Held]()
    throttles = Throttles(gone.append, clock)
    first, second = held(limited(max_per_period=1)), held(limited(max_per_period=1))
    throttles.enqueue(first)
    throttles.enqueue(second)
    assert gone == [first]
    second.stage = Stage.DROPPED
    await clock.advance(2 * SECOND)
    first.give_permit_back()
    assert throttles.key_count == 0
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(throttles.run())
        await clock.advance(SECOND)
        assert not loop.done()
        loop.cancel()


def held(message: delivery_pb2.Delivery) -> Held:
    plan = read_plan(message, user_agent="Chronos/test", dispatcher="dispatcher-0")
    return Held(delivery=read_delivery(message, plan), progress=resume(()), listener=Outbox(), creditor=None)
