"""What the dispatcher keeps: plans, recent ends, retries."""

import asyncio
from datetime import timedelta
from functools import partial

from chronos.scheduler.v1 import job_pb2

from services.dispatcher.convert import read_delivery
from services.dispatcher.convert_plans import read_plan
from services.dispatcher.domain.execution import Progress, Status
from services.dispatcher.domain.plan import Plan
from services.dispatcher.domain.targets.webhook import WebhookPlan
from services.dispatcher.held import Held, Stage
from services.dispatcher.plans import Plans
from services.dispatcher.recent import End, RecentlyFinished
from services.dispatcher.retries import Retries
from services.dispatcher.streams import Outbox
from tests.deliveries import make_delivery, make_job
from tests.fakes.clock import FakeClock

SECOND = timedelta(seconds=1)
compile_delivery = partial(read_plan, user_agent="Chronos/test", dispatcher="dispatcher-0")

SUCCESS, FAILURE = End(Status.SUCCESS, 1), End(Status.FAILED, 2)


def compile_plan(job: job_pb2.Job) -> Plan:
    return compile_delivery(make_delivery(job))


def test_a_plan_is_compiled_once_per_version() -> None:
    plans, job = Plans(compile_delivery, most_bytes=1_000_000), make_job("http://example.com/a")
    first = plans.find(make_delivery(job))
    assert plans.find(make_delivery(job)) is first
    job.version += 1
    job.webhook.url = "http://example.com/b"
    second = plans.find(make_delivery(job))
    assert isinstance(second.target, WebhookPlan)
    assert second.target.url == "http://example.com/b"


def test_the_plans_used_least_recently_go_first() -> None:
    jobs = [make_job("http://example.com/", body="x" * 1000) for _ in range(3)]
    plans = Plans(compile_delivery, most_bytes=2 * compile_plan(jobs[0]).weight)
    first, second = plans.find(make_delivery(jobs[0])), plans.find(make_delivery(jobs[1]))
    assert plans.find(make_delivery(jobs[0])) is first
    plans.find(make_delivery(jobs[2]))
    assert len(plans) == 2
    assert plans.find(make_delivery(jobs[0])) is first
    assert plans.find(make_delivery(jobs[1])) is not second


def test_retry_settings_take_their_defaults_one_by_one() -> None:
    job = make_job("http://example.com/")
    job.retry_policy.Clear()
    job.retry_policy.multiplier = 3
    policy = compile_plan(job).retry_policy
    assert (policy.max_attempts, policy.initial_interval, policy.max_interval) == (3, SECOND, 60 * SECOND)
    assert policy.multiplier == 3


def test_a_webhooks_timeout_comes_before_the_jobs() -> None:
    job = make_job("http://example.com/")
    timeouts = []
    for field, seconds in ((None, 0), (job.timeout, 9), (job.webhook.timeout, 4)):
        if field is not None:
            field.FromSeconds(seconds)
        request = compile_plan(job).target
        assert isinstance(request, WebhookPlan)
        timeouts.append(request.timeout)
    assert timeouts == [30 * SECOND, 9 * SECOND, 4 * SECOND]


def test_executions_of_one_endpoint_are_known_as_such() -> None:
    urls = ["http://Example.com:80/a", "http://user:pw@example.com:80/b", "https://[::1", ""]
    assert [compile_plan(make_job(url)).endpoint for url in urls] == ["example.com:80", "example.com:80", "", ""]


def test_a_failure_ends_no_later_delivery_and_a_success_every_one() -> None:
    assert [FAILURE.counts_for(number) for number in (1, 2, 3)] == [True, True, False]
    assert SUCCESS.counts_for(9)


async def test_recent_ends_are_forgotten_by_age_and_by_number() -> None:
    clock = FakeClock()
    recent = RecentlyFinished(clock, limit=2, span=10 * SECOND)
    recent.add("a", SUCCESS)
    recent.add("b", FAILURE)
    assert (recent.find("a"), recent.find("b")) == (SUCCESS, FAILURE)
    recent.add("c", SUCCESS)
    assert (recent.find("a"), len(recent)) == (None, 2)
    await clock.advance(11 * SECOND)
    recent.add("d", SUCCESS)
    assert (recent.find("c"), len(recent)) == (None, 1)


def test_nothing_is_remembered_when_nothing_may_be() -> None:
    recent = RecentlyFinished(FakeClock(), limit=0, span=SECOND)
    recent.add("a", SUCCESS)
    assert len(recent) == 0


def make_held() -> Held:
    job = make_job("http://example.com/")
    delivery = read_delivery(make_delivery(job), compile_plan(job))
    return Held(delivery=delivery, progress=Progress(), listener=Outbox(), creditor=None)


async def test_retries_come_back_in_the_order_of_their_times() -> None:
    clock = FakeClock()
    back: list[Held] = []
    retries = Retries(back.append, clock)
    late, early, dropped = make_held(), make_held(), make_held()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(retries.run())
        retries.add(late, 60 * SECOND)
        await clock.advance(SECOND)
        retries.add(early, 5 * SECOND)
        retries.add(dropped, 2 * SECOND)
        dropped.stage = Stage.DROPPED
        await clock.advance(4 * SECOND)
        assert back == []
        await clock.advance(2 * SECOND)
        assert back == [early]
        await clock.advance(60 * SECOND)
        assert back == [early, late]
        assert len(retries) == 0
        running.cancel()


async def test_retries_keep_to_elapsed_time_when_the_wall_clock_jumps() -> None:
    clock = FakeClock()
    back: list[Held] = []
    retries = Retries(back.append, clock)
    held = make_held()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(retries.run())
        retries.add(held, 5 * SECOND)
        clock.jump(timedelta(days=1))
        await clock.advance(SECOND)
        assert back == []
        await clock.advance(5 * SECOND)
        assert back == [held]
        running.cancel()


async def test_retries_that_were_dropped_are_let_go_long_before_they_are_due() -> None:
    clock = FakeClock()
    retries = Retries(lambda held: None, clock)
    kept, dropped = make_held(), make_held()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(retries.run())
        retries.add(kept, timedelta(days=1))
        retries.add(dropped, timedelta(days=1))
        dropped.stage = Stage.ENDED
        await clock.advance(11 * SECOND)
        assert len(retries) == 1
        running.cancel()
