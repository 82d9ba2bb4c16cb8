"""Runs that their targets have accepted, from their owner's point of view."""

from datetime import timedelta

import pytest
from chronos.scheduler.v1 import completion_pb2, job_pb2, stored_job_pb2
from google.protobuf import duration_pb2

from services.scheduler.convert.completions import completed
from services.scheduler.ports.ledger import Status
from services.scheduler.ports.orders import ShardChange
from tests.fakes.firing import (
    SECOND,
    SHARD,
    START,
    Bench,
    Event,
    Execution,
    identity_at,
    ids,
    stored,
    trigger,
    unfinished,
)
from tests.fakes.scheduler import FakeLink

FIRST = identity_at(1)
ONCE_A_YEAR = "1 0 0 1 1 *"
MINUTE = completion_pb2.Completion(deadline=duration_pb2.Duration(seconds=60))
EARLIER = identity_at(-10)
WISH = stored_job_pb2.StoredCancel(execution_id=FIRST, namespace="default", job_id="a", actor="key-1")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def told(identity: str, status: Status = Execution.SUCCESS, *, delivery: int = 1) -> stored_job_pb2.StoredCompletion:
    """What a target tells."""
    execution = Execution(id=identity, namespace="default", job_id="a", job_uid="uid-a", delivery=delivery)
    return completed(execution, status, response="done", error="", reason="completed by key-1", now=START)


def accepted_earlier(complete_by: int) -> Execution:
    """A run that an earlier owner had accepted, with so many seconds after START to go."""
    execution = unfinished(-10, Execution.RUNNING)
    execution.reason_code = Execution.ACCEPTED
    execution.complete_by.FromDatetime(START + complete_by * SECOND)
    return execution


async def deliver(bench: Bench, link: FakeLink) -> None:
    """Fires the first run, which its target accepts."""
    await bench.clock.advance(SECOND)
    assert ids(link.sent) == [FIRST]
    bench.report(link, Event.ACCEPTED, FIRST)


async def hear(bench: Bench) -> None:
    """Lets the owner hear of the end that etcd has of the first run."""
    await bench.clock.advance(SECOND)
    bench.order(completions=[bench.completion_store.kept[FIRST]])
    await bench.clock.advance(SECOND)


async def test_a_run_ends_as_its_target_tells(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await deliver(bench, link)
        assert (bench.quotas.running, bench.completions.count, bench.outbox.outstanding) == (1, 1, 0)
        bench.order(completions=[told(FIRST, Execution.FAILED)])
        await bench.clock.advance(SECOND)
        (end,) = bench.noted(Execution.FAILED)
        assert (end.id, end.delivery, end.response, end.reason) == (FIRST, 1, "done", "completed by key-1")
        assert bench.followers.ended == [(FIRST, Execution.FAILED, Execution.REASON_UNSPECIFIED)]
        assert bench.settled.completions == [(SHARD, FIRST)]
        assert (bench.quotas.running, bench.completions.count) == (0, 0)


async def test_it_keeps_the_place_of_its_job_until_then(bench: Bench) -> None:
    link = bench.link()
    queueing = stored(schedule="1,2 0 0 1 1 *", completion=MINUTE, concurrency=job_pb2.Job.QUEUE, max_queued_runs=10)
    async with bench.owning(queueing):
        await deliver(bench, link)
        await bench.clock.advance(5 * SECOND)
        assert ids(link.sent) == [FIRST]
        bench.order(completions=[told(FIRST)])
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [FIRST, identity_at(2)]


async def test_a_target_that_does_not_tell_in_time_ends_it_as_timed_out(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await deliver(bench, link)
        await bench.clock.advance(timedelta(seconds=59))
        assert bench.completion_store.kept == {}
        await bench.clock.advance(2 * SECOND)
        (kept,) = bench.completion_store.kept.values()
        bench.order(completions=[kept])
        await bench.clock.advance(SECOND)
        (end,) = bench.noted(Execution.TIMED_OUT)
        assert (end.id, end.reason_code) == (FIRST, Execution.ACCEPTED)
        assert "did not complete it by 2026-01-01T00:01:01" in end.error
        assert bench.followers.ended == [(FIRST, Execution.TIMED_OUT, Execution.REASON_UNSPECIFIED)]


async def test_the_deadline_waits_for_etcd(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await deliver(bench, link)
        bench.completion_store.is_away = True
        await bench.clock.advance(timedelta(seconds=70))
        bench.completion_store.is_away = False
        await bench.clock.advance(SECOND)
        assert list(bench.completion_store.kept) == [FIRST]


async def test_a_completion_before_the_deadline_counts_though_it_is_heard_of_after(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await deliver(bench, link)
        await bench.completion_store.add(told(FIRST))
        await bench.clock.advance(timedelta(seconds=70))
        (kept,) = bench.completion_store.kept.values()
        bench.order(completions=[kept])
        await bench.clock.advance(SECOND)
        assert [end.id for end in bench.noted(Execution.SUCCESS)] == [FIRST]
        assert bench.noted(Execution.TIMED_OUT) == []


async def test_a_target_that_is_done_before_it_has_answered(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await bench.clock.advance(SECOND)
        bench.order(completions=[told(FIRST), told(FIRST)])
        await bench.clock.advance(SECOND)
        assert [end.id for end in bench.noted(Execution.SUCCESS)] == [FIRST]
        assert link.cancelled == [FIRST]
        bench.report(link, Event.ACCEPTED, FIRST)
        bench.report(link, Event.FINISHED, FIRST, status=Execution.CANCELLED)
        await bench.clock.advance(SECOND)
        assert bench.followers.ended == [(FIRST, Execution.SUCCESS, Execution.REASON_UNSPECIFIED)]
        assert (bench.quotas.running, bench.completions.count) == (0, 0)


async def test_an_end_stands_above_the_delivery_that_was_handed_out_meanwhile(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await bench.clock.advance(SECOND)
        bench.ledger.is_away = True
        bench.order(completions=[told(FIRST, Execution.FAILED)])
        await bench.clock.advance(SECOND)
        second = bench.link("d2")
        bench.outbox.link_broken(first)
        bench.outbox.dispatcher_gone("d1")
        assert ids(second.sent) == [FIRST]
        bench.ledger.is_away = False
        await bench.clock.advance(3 * SECOND)
        assert [end.is_settled for end in bench.noted(Execution.FAILED)] == [True]
        assert second.cancelled == [FIRST]
        assert bench.followers.ended == [(FIRST, Execution.FAILED, Execution.REASON_UNSPECIFIED)]


async def test_what_was_completed_is_not_handed_out_again(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await bench.clock.advance(SECOND)
        bench.outbox.link_broken(first)
        bench.outbox.dispatcher_gone("d1")
        bench.order(completions=[told(FIRST)])
        await bench.clock.advance(SECOND)
        assert bench.noted(Execution.SUCCESS)[0].is_settled
        assert bench.link("d2").sent == []
        assert [ended for ended, *_ in bench.followers.ended] == [FIRST]


async def test_an_accepted_run_is_cancelled_without_a_dispatcher(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await deliver(bench, link)
        bench.order(cancels=[WISH])
        await hear(bench)
        (end,) = bench.noted(Execution.CANCELLED)
        assert (end.id, end.reason_code, end.reason) == (FIRST, Execution.CANCELLED_BY_USER, "cancelled by key-1")
        assert bench.settled.cancels == [(SHARD, FIRST)]
        assert bench.followers.ended == [(FIRST, Execution.CANCELLED, Execution.REASON_UNSPECIFIED)]
        assert (bench.quotas.running, link.cancelled) == (0, [])


async def test_a_run_that_is_called_off_says_where_it_comes_from(bench: Bench) -> None:
    """That may be the first that the ledger hears of it."""
    asked = trigger(FIRST, cause=Execution.DEPENDENCY, parent_execution_ids=["p1"], actor="key-2")
    bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        bench.order(triggers=[asked])
        await bench.clock.advance(timedelta(milliseconds=500))
        bench.order(cancels=[WISH])
        await hear(bench)
        (end,) = bench.noted(Execution.CANCELLED)
        assert (end.cause, list(end.parent_execution_ids), end.actor) == (Execution.DEPENDENCY, ["p1"], "key-2")


async def test_what_its_target_has_told_is_not_cancelled_any_more(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await deliver(bench, link)
        await bench.completion_store.add(told(FIRST))
        bench.order(cancels=[WISH])
        await hear(bench)
        assert bench.noted(Execution.CANCELLED) == []
        assert bench.followers.ended == [(FIRST, Execution.SUCCESS, Execution.REASON_UNSPECIFIED)]
        assert bench.settled.cancels == [(SHARD, FIRST)]


async def test_a_cancellation_waits_for_etcd(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await deliver(bench, link)
        bench.completion_store.is_away = True
        bench.order(cancels=[WISH])
        await bench.clock.advance(5 * SECOND)
        bench.completion_store.is_away = False
        await bench.clock.advance(SECOND)
        assert bench.completion_store.kept[FIRST].execution.status == Execution.CANCELLED


async def test_a_run_that_may_be_accepted_any_moment_is_cancelled_by_the_same_key(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await bench.clock.advance(SECOND)
        bench.order(cancels=[WISH])
        await bench.clock.advance(SECOND)
        assert link.cancelled == []
        bench.report(link, Event.ACCEPTED, FIRST)
        await hear(bench)
        assert [end.id for end in bench.noted(Execution.CANCELLED)] == [FIRST]
        assert (bench.quotas.running, bench.completions.count) == (0, 0)


async def test_a_dispatcher_stops_a_run_that_was_called_off(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await bench.clock.advance(SECOND)
        bench.order(cancels=[WISH])
        await hear(bench)
        assert link.cancelled == [FIRST]
        assert bench.followers.ended == [(FIRST, Execution.CANCELLED, Execution.REASON_UNSPECIFIED)]


async def test_a_newer_run_replaces_an_accepted_one(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="1,5 0 0 1 1 *", completion=MINUTE, concurrency=job_pb2.Job.REPLACE)):
        await deliver(bench, link)
        await bench.clock.advance(4 * SECOND)
        await hear(bench)
        assert [(end.id, end.reason_code) for end in bench.noted(Execution.CANCELLED)] == [(FIRST, Execution.REPLACED)]
        assert ids(link.sent) == [FIRST, identity_at(5)]


async def test_a_new_owner_waits_for_the_target_and_asks_no_dispatcher(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.unfinished = [accepted_earlier(30)]
    async with bench.owning(stored(schedule="@yearly", completion=MINUTE)):
        assert (link.asked, bench.completions.count, bench.quotas.running) == ([], 1, 1)
        await bench.clock.advance(timedelta(seconds=29))
        assert bench.completion_store.kept == {}
        await bench.clock.advance(2 * SECOND)
        assert list(bench.completion_store.kept) == [EARLIER]


async def test_a_new_owner_ends_what_was_completed_while_nobody_owned_it(bench: Bench) -> None:
    bench.link()
    bench.ledger.unfinished = [accepted_earlier(30)]
    orders = ShardChange(is_complete=True, completions=[told(EARLIER, delivery=1)])
    async with bench.owning(stored(schedule="@yearly", completion=MINUTE), orders=orders):
        await bench.clock.advance(SECOND)
        assert [end.id for end in bench.noted(Execution.SUCCESS)] == [EARLIER]
        assert [ended for ended, *_ in bench.followers.ended] == [EARLIER]
        assert bench.settled.completions == [(SHARD, EARLIER)]


async def test_an_owner_that_is_not_trusted_lets_the_deadline_pass(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE_A_YEAR, completion=MINUTE)):
        await deliver(bench, link)
        bench.is_trusted = False
        await bench.clock.advance(timedelta(minutes=2))
        assert bench.completion_store.kept == {}


async def test_a_run_that_was_asked_for_keeps_its_promise_no_longer_than_until_it_is_accepted(bench: Bench) -> None:
    link = bench.link()
    identity = "018bcfe5-6800-845c-acb2-5c033444737c"
    orders = ShardChange(is_complete=True, triggers=[trigger(identity)])
    async with bench.owning(stored(schedule="@yearly", completion=MINUTE), orders=orders):
        bench.report(link, Event.ACCEPTED, identity)
        await bench.clock.advance(SECOND)
        assert bench.settled.settled == [(SHARD, identity)]


async def test_the_deadlines_of_what_has_ended_are_not_kept_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.firing.completions.MOST_MET", 3)
    link = bench.link()
    async with bench.owning(stored(completion=MINUTE)):
        for number in range(1, 11):
            await bench.clock.advance(SECOND)
            bench.report(link, Event.ACCEPTED, identity_at(number))
            if number > 1:
                bench.order(completions=[told(identity_at(number))])
        await bench.clock.advance(SECOND)
        assert bench.completions.count == 1
        assert len(bench.completions._deadlines) <= 5
