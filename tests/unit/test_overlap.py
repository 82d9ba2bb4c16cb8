"""What happens when a run is due while another one of its job is under way."""

from datetime import timedelta

import pytest
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from services.scheduler.domain.identity import microseconds
from services.scheduler.domain.occurrence import Cause, Concurrency, Run
from services.scheduler.firing.owned import marker_of
from services.scheduler.ports.orders import ShardChange
from tests.fakes.firing import (
    EPOCH,
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

FORBID, REPLACE, QUEUE, ALLOW = job_pb2.Job.FORBID, job_pb2.Job.REPLACE, job_pb2.Job.QUEUE, job_pb2.Job.ALLOW
PROMISED = "018bcfe5-6800-845c-acb2-5c033444737c"


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_forbid_skips_a_run_and_says_which_one_was_under_way(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=FORBID)):
        await bench.clock.advance(2 * SECOND + SECOND / 2)
        assert ids(link.sent) == [identity_at(1)]
        (skipped,) = bench.noted()
        assert skipped.id == identity_at(2)
        assert skipped.reason_code == Execution.OVERLAP
        assert identity_at(1) in skipped.reason


async def test_forbid_lets_the_next_run_begin_once_the_one_before_has_ended(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=FORBID)):
        await bench.clock.advance(SECOND)
        bench.report(link, Event.RECORDED, identity_at(1))
        bench.report(link, Event.FINISHED, identity_at(1))
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1), identity_at(2)]


async def test_a_skipped_run_holds_the_watermark_until_it_is_recorded_and_then_lets_it_go(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=FORBID)):
        await bench.clock.advance(SECOND)
        bench.report(link, Event.RECORDED, identity_at(1))
        await bench.clock.advance(2 * SECOND)
        assert bench.watermark() >= START + 2 * SECOND


async def test_queued_runs_have_their_turn_one_after_the_other(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=QUEUE, max_queued_runs=10)):
        await bench.clock.advance(3 * SECOND + SECOND / 2)
        assert ids(link.sent) == [identity_at(1)]
        assert [note.id for note in bench.noted(Execution.PENDING)] == [identity_at(2), identity_at(3)]
        bench.report(link, Event.FINISHED, identity_at(1))
        assert ids(link.sent) == [identity_at(1), identity_at(2)]
        bench.report(link, Event.FINISHED, identity_at(2), status=Execution.FAILED)
        assert ids(link.sent) == [identity_at(1), identity_at(2), identity_at(3)]


async def test_a_full_queue_is_explained(bench: Bench) -> None:
    bench.link()
    async with bench.owning(stored(concurrency=QUEUE, max_queued_runs=2)):
        await bench.clock.advance(4 * SECOND + SECOND / 2)
        (overflow,) = bench.noted()
        assert overflow.id == identity_at(4)
        assert overflow.reason_code == Execution.QUEUE_FULL


async def test_a_queue_survives_its_owner(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START + 3 * SECOND)
    await bench.clock.advance(3 * SECOND)
    bench.ledger.unfinished = [unfinished(1, Execution.RUNNING), unfinished(2, Execution.PENDING)]
    bench.ledger.recorded = {identity_at(1), identity_at(2)}
    async with bench.owning(stored(schedule="@yearly", concurrency=QUEUE, max_queued_runs=10)):
        bench.report(link, Event.HELD, identity_at(1))
        await bench.clock.advance(SECOND)
        assert link.sent == []
        bench.report(link, Event.FINISHED, identity_at(1))
        assert ids(link.sent) == [identity_at(2)]


async def test_forbid_is_held_across_a_change_of_owner(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.unfinished = [unfinished(-10, Execution.RUNNING)]
    async with bench.owning(stored(concurrency=FORBID)):
        bench.report(link, Event.HELD, identity_at(-10))
        await bench.clock.advance(SECOND + SECOND / 2)
        assert link.sent == []
        assert [note.reason_code for note in bench.noted()] == [Execution.OVERLAP]


async def test_short_runs_that_a_take_over_made_late_all_run_one_after_the_other(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START)
    await bench.clock.advance(3 * SECOND + SECOND * 0.9)
    async with bench.owning(stored(concurrency=FORBID)):
        for number in (1, 2, 3, 4):
            await bench.clock.advance(SECOND / 20)
            assert ids(link.sent)[-1] == identity_at(number)
            bench.report(link, Event.FINISHED, identity_at(number))
        await bench.clock.advance(SECOND / 10)
        assert bench.noted() == []


async def test_a_late_run_that_would_have_overlapped_on_time_is_skipped(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START)
    await bench.clock.advance(5 * SECOND)
    async with bench.owning(stored(schedule="*/2 * * * * *", concurrency=FORBID)):
        await bench.clock.advance(SECOND / 20)
        assert ids(link.sent) == [identity_at(2)]
        await bench.clock.advance(3 * SECOND)
        bench.report(link, Event.FINISHED, identity_at(2))
        await bench.clock.advance(SECOND / 10)
        assert ids(link.sent) == [identity_at(2), identity_at(6)]
        (skipped,) = bench.noted()
        assert (skipped.id, skipped.reason_code) == (identity_at(4), Execution.OVERLAP)


async def test_a_late_run_that_was_due_before_the_one_under_way_is_not_what_that_one_met(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START)
    await bench.clock.advance(5 * SECOND)
    asked_for = trigger(PROMISED)
    asked_for.time.FromDatetime(START + 3 * SECOND)
    orders = ShardChange(is_complete=True, triggers=[asked_for])
    async with bench.owning(stored(schedule="1 0 0 1 1 *", concurrency=FORBID), orders=orders):
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [PROMISED]
        bench.report(link, Event.FINISHED, PROMISED)
        await bench.clock.advance(SECOND / 10)
        assert ids(link.sent) == [PROMISED, identity_at(1)]
        assert bench.noted() == []


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_late_run_whose_job_has_ended_is_explained_when_its_turn_comes(bench: Bench, is_deleted: bool) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START)
    job = stored(schedule="*/2 * * * * *", concurrency=FORBID)
    bench.ledger.unfinished = [unfinished(-10, Execution.RUNNING)]
    async with bench.owning(job):
        bench.report(link, Event.HELD, identity_at(-10))
        (shard,) = bench.owned
        late = Run(
            execution_id=identity_at(2), job=shard.jobs["default", "a"], shard=SHARD, epoch=EPOCH, cause=Cause.SCHEDULE,
            scheduled_us=microseconds(START + 2 * SECOND), concurrency=Concurrency.FORBID, traceparent="", is_late=True,
        )  # fmt: skip
        await end_job(bench, job, is_deleted=is_deleted)
        bench.admission.submit([late])
        assert bench.noted() == []
        bench.report(link, Event.FINISHED, identity_at(-10))
        await bench.clock.advance(SECOND / 10)
        assert link.sent == []
        (skipped,) = bench.noted()
        assert skipped.id == identity_at(2)
        assert skipped.reason_code == (Execution.DELETED if is_deleted else Execution.PAUSED)


async def test_a_run_that_was_asked_for_begins_though_its_job_is_disabled_by_now(bench: Bench) -> None:
    link = bench.link()
    job = stored(schedule="0 0 1 1 *", concurrency=QUEUE)
    bench.ledger.unfinished = [unfinished(-10, Execution.RUNNING)]
    async with bench.owning(job, orders=ShardChange(is_complete=True, triggers=[trigger(PROMISED)])):
        bench.report(link, Event.HELD, identity_at(-10))
        await end_job(bench, job, is_deleted=False)
        bench.report(link, Event.FINISHED, identity_at(-10))
        assert ids(link.sent) == [PROMISED]


async def test_a_run_that_waited_for_its_turn_at_an_earlier_owner_is_not_begun_for_a_disabled_job(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.unfinished = [unfinished(-10, Execution.PENDING)]
    async with bench.owning(stored(enabled=False)):
        await bench.clock.advance(SECOND)
        assert link.sent == []
        assert [(note.id, note.reason_code) for note in bench.noted()] == [(identity_at(-10), Execution.PAUSED)]


async def test_a_run_that_is_taken_over_is_followed_to_its_end_unless_it_is_a_replay(bench: Bench) -> None:
    bench.link()
    replay = unfinished(-9, Execution.RUNNING)
    replay.cause = Execution.REPLAY
    bench.ledger.unfinished = [unfinished(-10, Execution.RUNNING), replay]
    async with bench.owning(stored()):
        assert bench.followers.begun == [identity_at(-10)]


async def end_job(bench: Bench, job: stored_job_pb2.StoredJob, *, is_deleted: bool) -> None:
    """Lets a job be deleted, or disabled by a second version."""
    if is_deleted:
        bench.change(removed=[("default", "a")])
    else:
        disabled = stored_job_pb2.StoredJob()
        disabled.CopyFrom(job)
        disabled.job.version, disabled.job.enabled = 2, False
        disabled.job.updated_at.FromDatetime(bench.clock.now())
        disabled.disabled_at.FromDatetime(bench.clock.now())
        bench.change(disabled)
    await bench.clock.advance(SECOND / 10)


async def test_replace_cancels_the_older_run_and_begins_the_new_one_after_its_end(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=REPLACE)):
        await bench.clock.advance(2 * SECOND)
        assert link.cancelled == [identity_at(1)]
        assert ids(link.sent) == [identity_at(1)]
        bench.report(link, Event.FINISHED, identity_at(1), status=Execution.CANCELLED)
        assert ids(link.sent) == [identity_at(1), identity_at(2)]


async def test_replace_keeps_only_the_newest_of_those_that_wait(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=REPLACE)):
        await bench.clock.advance(3 * SECOND + SECOND / 2)
        (replaced,) = bench.noted()
        assert (replaced.id, replaced.reason_code) == (identity_at(2), Execution.REPLACED)
        bench.report(link, Event.FINISHED, identity_at(1), status=Execution.CANCELLED)
        assert ids(link.sent) == [identity_at(1), identity_at(3)]


async def test_a_run_that_was_held_up_does_not_replace_one_that_is_due_later(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="* * * * * *", concurrency=REPLACE)):
        by_hand = trigger(PROMISED)
        by_hand.time.FromDatetime(START + 10 * SECOND)
        bench.order(triggers=[by_hand])
        await bench.clock.advance(1.5 * SECOND)
        assert ids(link.sent) == [PROMISED]
        assert not link.cancelled
        (skipped,) = bench.noted()
        assert (skipped.id, skipped.status, skipped.reason_code) == (
            identity_at(1), Execution.SKIPPED, Execution.REPLACED,
        )  # fmt: skip


async def test_a_run_to_be_replaced_whose_dispatcher_is_lost_is_not_handed_out_again(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored(schedule="*/2 * * * * *", concurrency=REPLACE)):
        await bench.clock.advance(4 * SECOND)
        bench.outbox.link_broken(first)
        bench.outbox.dispatcher_gone("d1")
        second = bench.link("d2")
        await bench.clock.advance(SECOND / 2)
        assert ids(second.sent) == [identity_at(4)]
        assert [note.id for note in bench.noted(Execution.CANCELLED)] == [identity_at(2)]


async def test_a_run_asked_for_by_hand_keeps_to_the_rule_of_its_job(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="1 0 0 1 1 *", concurrency=FORBID)):
        await bench.clock.advance(SECOND)
        bench.order(triggers=[trigger(PROMISED)])
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1)]
        assert [note.id for note in bench.noted()] == [PROMISED]
        assert bench.settled.settled == [(SHARD, PROMISED)]


async def test_a_run_asked_for_by_hand_may_have_a_rule_of_its_own(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="1 0 0 1 1 *", concurrency=FORBID)):
        await bench.clock.advance(SECOND)
        bench.order(triggers=[trigger(PROMISED, concurrency=ALLOW)])
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1), PROMISED]


async def test_a_disabled_job_s_waiting_runs_are_explained_and_do_not_run(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=QUEUE, max_queued_runs=10)):
        await bench.clock.advance(2 * SECOND)
        bench.change(stored(version=2, enabled=False, concurrency=QUEUE, max_queued_runs=10))
        await bench.clock.advance(SECOND)
        bench.report(link, Event.FINISHED, identity_at(1))
        assert ids(link.sent) == [identity_at(1)]
        assert [(note.id, note.reason_code) for note in bench.noted()] == [(identity_at(2), Execution.PAUSED)]


async def test_a_deleted_job_s_waiting_runs_are_explained_and_do_not_run(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=QUEUE, max_queued_runs=10)):
        await bench.clock.advance(2 * SECOND)
        bench.change(removed=[("default", "a")])
        await bench.clock.advance(SECOND)
        bench.report(link, Event.FINISHED, identity_at(1))
        assert ids(link.sent) == [identity_at(1)]
        assert [(note.id, note.reason_code) for note in bench.noted()] == [(identity_at(2), Execution.DELETED)]


async def test_a_run_waits_for_a_quota_and_goes_when_there_is_room(bench: Bench) -> None:
    link = bench.link()
    bench.quotas.limit = 1
    async with bench.owning(stored("a", "1 0 0 1 1 *"), stored("b", "2 0 0 1 1 *")):
        await bench.clock.advance(2 * SECOND)
        assert ids(link.sent) == [identity_at(1, name="a")]
        bench.report(link, Event.FINISHED, identity_at(1, name="a"))
        bench.admission.quota_changed("default")
        assert ids(link.sent) == [identity_at(1, name="a"), identity_at(2, name="b")]


async def test_a_run_whose_quota_stays_full_is_skipped_after_a_minute(bench: Bench) -> None:
    link = bench.link()
    bench.quotas.limit = 0
    async with bench.owning(stored("a", "1 0 0 1 1 *")):
        await bench.clock.advance(timedelta(seconds=63))
        assert link.sent == []
        assert [note.reason_code for note in bench.noted()] == [Execution.QUOTA]


async def test_a_run_beyond_the_quota_is_skipped_at_once_with_its_reason(bench: Bench) -> None:
    bench.link()
    bench.quotas.refusal = "100 executions this hour are used up"
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND + SECOND / 2)
        (skipped,) = bench.noted()
        assert (skipped.reason_code, skipped.reason) == (Execution.QUOTA, bench.quotas.refusal)


async def test_what_is_granted_is_given_back(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        assert bench.quotas.running == 3
        bench.report(link, Event.FINISHED, *ids(link.sent))
        assert bench.quotas.running == 0


async def test_a_disabled_job_s_run_that_waits_for_a_quota_does_not_run(bench: Bench) -> None:
    link = bench.link()
    bench.quotas.limit = 0
    async with bench.owning(stored("a", "1 0 0 1 1 *")):
        await bench.clock.advance(2 * SECOND)
        bench.change(stored("a", "1 0 0 1 1 *", version=2, enabled=False))
        await bench.clock.advance(SECOND)
        bench.quotas.limit = 1
        bench.admission.quota_changed("default")
        assert link.sent == []
        assert [note.reason_code for note in bench.noted()] == [Execution.PAUSED]


async def test_a_shard_that_is_given_up_gives_back_what_was_granted_and_nothing_else(bench: Bench) -> None:
    bench.link()
    bench.quotas.limit = 1
    async with bench.owning(stored("a", "1 0 0 1 1 *"), stored("b", "2 0 0 1 1 *")):
        await bench.clock.advance(2 * SECOND)
        assert bench.quotas.running == 1
        bench.admission.forget(SHARD)
        assert bench.quotas.running == 0


async def test_jobs_that_wait_for_a_run_hear_of_its_begin_and_its_end(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="1 0 0 1 1 *")):
        await bench.clock.advance(SECOND)
        assert bench.followers.begun == [identity_at(1)]
        bench.report(link, Event.FINISHED, identity_at(1), status=Execution.TIMED_OUT)
        assert bench.followers.ended == [(identity_at(1), Execution.TIMED_OUT, Execution.REASON_UNSPECIFIED)]


async def test_orders_that_were_there_at_a_take_over_are_carried_out(bench: Bench) -> None:
    link = bench.link()
    waiting = ShardChange(
        is_complete=True,
        triggers=[trigger(PROMISED)],
        follow_ups=[stored_job_pb2.StoredFollowUp(execution_id=identity_at(-10))],
        signals=[stored_job_pb2.StoredSignal(namespace="default", job_id="a", parent_id="b")],
    )
    async with bench.owning(stored(schedule="@yearly"), orders=waiting):
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [PROMISED]
        assert bench.followers.adopted == [identity_at(-10)]
        assert [signal.parent_id for signal in bench.rounds.signals] == ["b"]


async def test_a_run_past_the_watermark_that_is_recorded_is_not_fired_but_those_who_wait_for_it_are_told(
    bench: Bench,
) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START)
    bench.ledger.recorded = {identity_at(1)}
    await bench.clock.advance(SECOND)
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND / 2)
        assert link.sent == []
        assert bench.followers.resumed == [identity_at(1)]


async def test_a_promise_is_kept_until_those_who_wait_for_the_run_s_end_are_sure_to_hear_of_it(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="@yearly")):
        bench.order(triggers=[trigger(PROMISED)])
        await bench.clock.advance(SECOND / 10)
        (shard,) = bench.owned
        shard.unrecorded[marker_of(PROMISED)] = shard.horizon_us
        bench.report(link, Event.FINISHED, PROMISED)
        await bench.clock.advance(SECOND)
        assert bench.settled.settled == []
        del shard.unrecorded[marker_of(PROMISED)]
        await bench.clock.advance(SECOND)
        assert bench.settled.settled == [(SHARD, PROMISED)]


async def test_a_promised_run_that_was_begun_before_a_take_over_is_resumed_for_those_who_wait_for_it(
    bench: Bench,
) -> None:
    bench.ledger.recorded = {PROMISED}
    orders = ShardChange(is_complete=True, triggers=[trigger(PROMISED)])
    async with bench.owning(stored(schedule="@yearly"), orders=orders):
        await bench.clock.advance(SECOND)
        assert bench.followers.resumed == [PROMISED]
        assert bench.settled.settled == [(SHARD, PROMISED)]


async def test_who_follows_a_run_is_thought_of_while_it_waits_and_hears_that_it_does_not_begin(bench: Bench) -> None:
    """Once it is noted that it waits, the watermark may pass it, and the next owner does not come upon it."""
    bench.link()
    async with bench.owning(stored(concurrency=QUEUE)):
        await bench.clock.advance(2 * SECOND)
        assert bench.followers.begun == [identity_at(1), identity_at(2)]
        disabled = stored(concurrency=QUEUE, version=2)
        disabled.job.enabled = False
        bench.change(disabled)
        await bench.clock.advance(SECOND)
        assert bench.followers.ended == [(identity_at(2), Execution.SKIPPED, Execution.PAUSED)]
