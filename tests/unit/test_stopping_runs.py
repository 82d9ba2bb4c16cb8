"""Cancelled runs, and runs that are delivered at most once."""

from typing import Any

import pytest
from chronos.scheduler.v1 import job_pb2, stored_job_pb2, target_pb2

from services.scheduler.ports.orders import ShardChange
from tests.fakes.firing import SECOND, SHARD, Bench, Event, Execution, identity_at, ids, stored, trigger, unfinished

ONCE = job_pb2.Job.AT_MOST_ONCE
QUEUE = job_pb2.Job.QUEUE
PROMISED = "018bcfe5-6800-845c-acb2-5c033444737c"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def wish(identity: str) -> stored_job_pb2.StoredCancel:
    return stored_job_pb2.StoredCancel(
        execution_id=identity, namespace="default", job_id="a", actor="key-1", reason="wrong customer"
    )


async def test_a_run_under_way_is_stopped_by_its_dispatcher(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND)
        bench.order(cancels=[wish(identity_at(1))])
        await bench.clock.advance(SECOND / 2)
        assert link.cancelled == [identity_at(1)]
        assert bench.settled.cancels == []
        bench.report(link, Event.FINISHED, identity_at(1), status=Execution.CANCELLED)
        await bench.clock.advance(SECOND / 2)
        assert bench.settled.cancels == [(SHARD, identity_at(1))]


async def test_a_run_that_waits_for_its_turn_ends_as_cancelled_with_who_and_why(bench: Bench) -> None:
    bench.link()
    async with bench.owning(stored(concurrency=QUEUE, max_queued_runs=10)):
        await bench.clock.advance(2 * SECOND)
        bench.order(cancels=[wish(identity_at(2))])
        await bench.clock.advance(SECOND / 2)
        (cancelled,) = bench.noted(Execution.CANCELLED)
        assert (cancelled.id, cancelled.reason_code) == (identity_at(2), Execution.CANCELLED_BY_USER)
        assert "key-1" in cancelled.reason
        assert "wrong customer" in cancelled.reason
        assert bench.settled.cancels == [(SHARD, identity_at(2))]


async def test_a_run_that_no_dispatcher_has_yet_is_cancelled_here(bench: Bench) -> None:
    async with bench.owning(stored(schedule="1 0 0 1 1 *")):
        await bench.clock.advance(SECOND)
        bench.order(cancels=[wish(identity_at(1))])
        await bench.clock.advance(SECOND / 2)
        link = bench.link()
        assert link.sent == []
        assert [note.id for note in bench.noted(Execution.CANCELLED)] == [identity_at(1)]


async def test_a_wish_to_stop_reaches_the_dispatcher_that_still_holds_the_run_after_a_take_over(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.unfinished = [unfinished(-10, Execution.RUNNING)]
    wishes = ShardChange(is_complete=True, cancels=[wish(identity_at(-10))])
    async with bench.owning(stored(schedule="@yearly"), orders=wishes):
        assert link.cancelled == []
        bench.report(link, Event.HELD, identity_at(-10))
        assert link.cancelled == [identity_at(-10)]


async def test_a_wish_to_stop_what_is_unknown_is_forgotten(bench: Bench) -> None:
    async with bench.owning(stored(schedule="@yearly")):
        bench.order(cancels=[wish(PROMISED)])
        await bench.clock.advance(SECOND)
        assert bench.settled.cancels == [(SHARD, PROMISED)]


async def test_an_at_most_once_run_that_was_begun_is_lost_with_its_dispatcher(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored(schedule="1 0 0 1 1 *", delivery_guarantee=ONCE)):
        await bench.clock.advance(SECOND)
        bench.report(first, Event.RECORDED, identity_at(1))
        bench.outbox.link_broken(first)
        bench.outbox.dispatcher_gone("d1")
        second = bench.link("d2")
        await bench.clock.advance(SECOND)
        assert second.sent == []
        assert [(n.id, n.reason_code) for n in bench.noted(Execution.LOST)] == [(identity_at(1), Execution.INTERRUPTED)]


async def test_an_at_most_once_run_that_was_never_begun_is_handed_out_again(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored(schedule="1 0 0 1 1 *", delivery_guarantee=ONCE)):
        await bench.clock.advance(SECOND)
        bench.outbox.link_broken(first)
        bench.outbox.dispatcher_gone("d1")
        second = bench.link("d2")
        assert ids(second.sent) == [identity_at(1)]
        bench.report(second, Event.CLAIMED, identity_at(1))
        await bench.clock.advance(SECOND)
        assert [note.id for note in bench.noted(Execution.LOST)] == [identity_at(1)]


async def test_an_at_most_once_run_that_nobody_holds_after_a_take_over_is_lost(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.unfinished = [unfinished(-10, Execution.RUNNING)]
    async with bench.owning(stored(schedule="@yearly", delivery_guarantee=ONCE)):
        bench.report(link, Event.UNKNOWN, identity_at(-10))
        await bench.clock.advance(SECOND)
        assert link.sent == []
        assert [note.id for note in bench.noted(Execution.LOST)] == [identity_at(-10)]


async def test_an_at_most_once_run_that_a_dispatcher_gives_back_was_not_begun_and_goes_again(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.unfinished = [unfinished(-10, Execution.RUNNING)]
    async with bench.owning(stored(schedule="@yearly", delivery_guarantee=ONCE)):
        bench.report(link, Event.HELD, identity_at(-10))
        bench.report(link, Event.RETURNED, identity_at(-10))
        assert ids(link.sent) == [identity_at(-10)]


async def test_a_lost_run_frees_the_place_of_its_job(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored(schedule="*/5 * * * * *", delivery_guarantee=ONCE, concurrency=job_pb2.Job.FORBID)):
        await bench.clock.advance(5 * SECOND)
        bench.report(first, Event.RECORDED, identity_at(5))
        bench.outbox.link_broken(first)
        bench.outbox.dispatcher_gone("d1")
        second = bench.link("d2")
        await bench.clock.advance(5 * SECOND)
        assert ids(second.sent) == [identity_at(10)]


RECORDED = target_pb2.WebhookTarget(url="https://example.com/recorded")


@pytest.mark.parametrize("recorded", [{"recorded": job_pb2.Job(webhook=RECORDED)}, {"webhook": RECORDED}])
async def test_a_replay_makes_the_recorded_request_also_after_a_take_over(
    bench: Bench, recorded: dict[str, Any]
) -> None:
    replay = trigger(PROMISED, cause=Execution.REPLAY, replay_of=identity_at(-10), skip_retries=True, **recorded)
    first = bench.link("d1")
    async with bench.owning(stored(schedule="@yearly"), orders=ShardChange(is_complete=True, triggers=[replay])):
        bench.report(first, Event.RECORDED, PROMISED)
        await bench.clock.advance(SECOND)
        assert bench.settled.settled == []
        assert _request(first.sent[0].job.definition).url == "https://example.com/recorded"
    again = Bench()
    running = unfinished(0, Execution.RUNNING)
    running.id, running.cause = PROMISED, Execution.REPLAY
    again.ledger.unfinished, again.ledger.recorded = [running], {PROMISED}
    link = again.link()
    async with again.owning(stored(schedule="@yearly"), orders=ShardChange(is_complete=True, triggers=[replay])):
        again.report(link, Event.UNKNOWN, PROMISED)
        assert _request(link.sent[0].job.definition).url == "https://example.com/recorded"
        again.report(link, Event.FINISHED, PROMISED)
        await again.clock.advance(SECOND)
        assert again.settled.settled == [(SHARD, PROMISED)]


def _request(definition: bytes) -> target_pb2.WebhookTarget:
    return job_pb2.Job.FromString(definition).webhook


async def test_a_run_that_is_only_to_be_explained_is_and_tells_those_who_wait_for_it(bench: Bench) -> None:
    link = bench.link()
    skipped = trigger(
        PROMISED, cause=Execution.DEPENDENCY, skip_reason="load failed", skip_code=Execution.DEPENDENCY_FAILED
    )
    async with bench.owning(stored(schedule="@yearly")):
        bench.order(triggers=[skipped])
        await bench.clock.advance(SECOND)
        assert link.sent == []
        assert [(n.id, n.reason) for n in bench.noted()] == [(PROMISED, "load failed")]
        assert bench.followers.ended == [(PROMISED, Execution.SKIPPED, Execution.DEPENDENCY_FAILED)]
        assert bench.settled.settled == [(SHARD, PROMISED)]
