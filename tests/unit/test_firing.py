"""The firing path from the timeline to the dispatchers and back, on a clock of our own."""

from datetime import timedelta

import pytest
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery
from chronos.history.v1 import execution_pb2

from services.scheduler.domain.identity import execution_id, microseconds
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.ports.orders import ShardChange
from tests.fakes.firing import EPOCH, SECOND, SHARD, START, Bench, Event, ids, stored, times, trigger, unfinished

PROMISED = "018bcfe5-6800-845c-acb2-5c033444737c"


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_every_occurrence_is_handed_to_a_dispatcher_once(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(5 * SECOND)
    assert times(link) == [START + n * SECOND for n in range(1, 6)]
    assert ids(link.sent) == [execution_id("uid-a", microseconds(moment)) for moment in times(link)]
    assert {(run.shard, run.epoch, run.delivery) for run in link.sent} == {(SHARD, EPOCH, 1)}


async def test_the_watermark_stops_before_what_is_not_recorded(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        assert bench.watermark() < START + SECOND
        bench.report(link, Event.RECORDED, link.sent[0].execution_id, link.sent[2].execution_id)
        await bench.clock.advance(SECOND / 2)
        assert START + SECOND <= bench.watermark() < START + 2 * SECOND
        bench.report(link, Event.FINISHED, link.sent[1].execution_id)
        await bench.clock.advance(SECOND)
        assert START + 3 * SECOND <= bench.watermark() < START + 4 * SECOND


async def test_a_shard_in_doubt_does_not_fire_and_catches_up_when_the_doubt_ends(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        bench.is_trusted = False
        await bench.clock.advance(3 * SECOND)
        assert link.sent == []
        bench.is_trusted = True
        await bench.clock.advance(SECOND / 10)
        assert times(link) == [START + n * SECOND for n in (1, 2, 3)]


async def test_without_dispatchers_runs_wait_and_none_is_lost(bench: Bench) -> None:
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        assert bench.outbox.queued == 3
        link = bench.link()
        assert times(link) == [START + n * SECOND for n in (1, 2, 3)]


async def test_no_more_is_sent_than_there_is_credit_for(bench: Bench) -> None:
    link = bench.link(credit=2)
    async with bench.owning(stored()):
        await bench.clock.advance(5 * SECOND)
        assert len(link.sent) == 2
        bench.outbox.link_answered(link, delivery.DeliverResponse(credit=1))
        assert len(link.sent) == 3


async def test_a_lost_dispatcher_s_runs_go_to_another_with_the_same_id(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored()):
        await bench.clock.advance(2 * SECOND)
        bench.report(first, Event.FINISHED, first.sent[0].execution_id)
        second = bench.link("d2")
        bench.outbox.link_broken(first)
        assert second.sent == []
        bench.outbox.dispatcher_gone("d1")
        assert ids(second.sent) == [first.sent[1].execution_id]
        assert second.sent[0].delivery == 2


async def test_after_a_broken_stream_a_dispatcher_is_asked_what_it_still_holds(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        held, finished, unknown = ids(first.sent)
        bench.outbox.link_broken(first)
        assert bench.outbox.outstanding == 3
        again = bench.link("d1")
        assert sorted(again.asked) == sorted([held, finished, unknown])
        bench.report(again, Event.HELD, held)
        bench.report(again, Event.FINISHED, finished)
        bench.report(again, Event.UNKNOWN, unknown)
        assert ids(again.sent) == [unknown]
        assert again.sent[0].delivery == 2
        assert bench.outbox.outstanding == 2


async def test_a_returned_run_goes_on_with_its_attempts(bench: Bench) -> None:
    first = bench.link("d1")
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND)
        attempts = [execution_pb2.Attempt(number=1, error="refused")]
        event = Event(execution_id=first.sent[0].execution_id, kind=Event.RETURNED, attempts=attempts)
        bench.outbox.link_answered(first, delivery.DeliverResponse(events=[event], is_draining=True))
        second = bench.link("d2")
        assert ids(second.sent) == ids(first.sent)
        assert execution_pb2.Attempt.FromString(second.sent[0].attempts[0]) == attempts[0]


async def test_a_draining_dispatcher_gets_nothing_more(bench: Bench) -> None:
    link = bench.link()
    bench.outbox.link_answered(link, delivery.DeliverResponse(is_draining=True))
    async with bench.owning(stored()):
        await bench.clock.advance(2 * SECOND)
    assert link.sent == []


async def test_a_takeover_fires_what_the_earlier_owner_did_not_get_recorded(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START + 20 * SECOND)
    bench.ledger.recorded = {execution_id("uid-a", microseconds(START + 22 * SECOND))}
    await bench.clock.advance(23 * SECOND)
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND / 10)
    assert times(link) == [START + 21 * SECOND, START + 23 * SECOND]
    assert bench.ledger.seals == [(SHARD, EPOCH, START + 20 * SECOND)]


async def test_a_takeover_waits_for_history(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.is_away = True
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        assert link.sent == []
        bench.ledger.is_away = False
        await bench.clock.advance(SECOND / 2)
        assert times(link) == [START + n * SECOND for n in (1, 2, 3)]


async def test_a_job_that_is_deleted_while_a_takeover_waits_for_history_fires_no_more(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.is_away = True
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND / 2)
        bench.change(removed=[("default", "a")])
        await bench.clock.advance(3 * SECOND)
        bench.ledger.is_away = False
        await bench.clock.advance(SECOND)
        assert link.sent == []


async def test_a_run_that_a_dispatcher_still_holds_is_left_to_finish(bench: Bench) -> None:
    link = bench.link()
    running = unfinished(-10, execution_pb2.Execution.RUNNING)
    bench.ledger.unfinished = [running]
    async with bench.owning(stored()):
        assert link.asked == [running.id]
        bench.report(link, Event.HELD, running.id)
        assert link.sent == []
        other = bench.link("d2")
        bench.outbox.link_broken(link)
        bench.outbox.dispatcher_gone("d1")
        assert ids(other.sent) == [running.id]
        assert other.sent[0].delivery == 2
        assert len(other.sent[0].attempts) == 1


async def test_a_run_that_nobody_holds_is_handed_out_again(bench: Bench) -> None:
    first, second = bench.link("d1"), bench.link("d2")
    running = unfinished(-10, execution_pb2.Execution.RUNNING)
    bench.ledger.unfinished = [running]
    async with bench.owning(stored()):
        bench.report(first, Event.UNKNOWN, running.id)
        assert first.sent + second.sent == []
        bench.report(second, Event.UNKNOWN, running.id)
        assert ids(first.sent + second.sent) == [running.id]


async def test_an_interrupted_run_of_a_deleted_job_ends_with_a_reason(bench: Bench) -> None:
    bench.ledger.unfinished = [unfinished(-10, execution_pb2.Execution.RUNNING)]
    async with bench.owning():
        await bench.clock.advance(SECOND)
    (note,) = bench.ledger.notes
    assert note.execution.status == execution_pb2.Execution.FAILED
    assert "deleted" in note.execution.reason


async def test_late_occurrences_are_explained_and_the_latest_runs(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START)
    await bench.clock.advance(timedelta(hours=5, minutes=30))
    async with bench.owning(stored(schedule="@hourly")):
        await bench.clock.advance(SECOND)
        assert times(link) == [START + timedelta(hours=5)]
        (note,) = bench.ledger.notes
        assert note.execution.status == execution_pb2.Execution.SKIPPED
        assert "4 runs" in note.execution.reason


async def test_a_run_within_the_grace_period_is_not_skipped(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, START)
    await bench.clock.advance(10 * SECOND)
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND / 10)
        assert times(link) == [START + n * SECOND for n in range(1, 11)]
    assert bench.ledger.notes == []


async def test_the_watermark_waits_for_a_note(bench: Bench) -> None:
    bench.link()
    bench.shards.watermarks[SHARD] = (1, START)
    await bench.clock.advance(timedelta(hours=5, minutes=30))
    async with bench.owning(stored(schedule="@hourly")):
        bench.ledger.is_away = True
        await bench.clock.advance(3 * SECOND)
        assert bench.watermark() < START + timedelta(hours=1)


async def test_a_change_takes_the_place_of_the_old_version(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(2 * SECOND)
        changed = stored(schedule="30 * * * * *", version=2)
        changed.effective_at.FromDatetime(bench.clock.now())
        bench.shards.job_changes.put_nowait(ShardChange(is_complete=False, jobs=[changed]))
        await bench.clock.advance(60 * SECOND)
    assert times(link) == [START + SECOND, START + 2 * SECOND, START + 30 * SECOND]
    assert [run.job.version for run in link.sent] == [1, 1, 2]


async def test_a_deleted_or_disabled_job_does_not_fire(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored("a"), stored("b")):
        bench.shards.job_changes.put_nowait(
            ShardChange(is_complete=False, jobs=[stored("b", version=2, enabled=False)], removed=[("default", "a")])
        )
        await bench.clock.advance(3 * SECOND)
    assert link.sent == []


async def test_a_fresh_listing_removes_what_is_not_in_it(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored("a"), stored("b")):
        bench.shards.job_changes.put_nowait(ShardChange(is_complete=True, jobs=[stored("b")]))
        await bench.clock.advance(SECOND)
    assert [run.job.id for run in link.sent] == ["b"]


async def test_a_promised_run_fires_once_and_is_forgotten_when_recorded(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="@yearly", enabled=False)):
        for _ in range(2):
            bench.shards.trigger_changes.put_nowait(ShardChange(is_complete=False, triggers=[trigger(PROMISED)]))
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [PROMISED]
        assert bench.settled.settled == []
        bench.report(link, Event.RECORDED, PROMISED)
        await bench.clock.advance(SECOND)
        assert bench.settled.settled == [(SHARD, PROMISED)]


async def test_a_promised_run_is_not_fired_again_by_a_listing_that_is_behind(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="@yearly")):
        for _ in range(2):
            bench.shards.trigger_changes.put_nowait(ShardChange(is_complete=True, triggers=[trigger(PROMISED)]))
            await bench.clock.advance(SECOND)
            bench.report(link, Event.FINISHED, PROMISED)
            await bench.clock.advance(SECOND)
        assert ids(link.sent) == [PROMISED]
        assert bench.settled.settled == [(SHARD, PROMISED)]


async def test_a_full_outbox_holds_firing_up_and_loses_nothing(bench: Bench) -> None:
    bench.shards.watermarks[SHARD] = (1, START)
    await bench.clock.advance(50 * SECOND)
    async with bench.owning(*(stored(f"job-{number}") for number in range(40))):
        await bench.clock.advance(SECOND / 10)
        assert 1000 <= bench.outbox.queued < 1300
        assert SHARD not in bench.shards.watermarks or bench.watermark() <= START + SECOND
        link = bench.link(credit=5000)
        await bench.clock.advance(SECOND / 10)
        assert len(link.sent) == 40 * 50
        assert len(set(ids(link.sent))) == 40 * 50


async def test_a_promised_run_that_is_recorded_already_is_only_forgotten(bench: Bench) -> None:
    link = bench.link()
    bench.ledger.recorded = {PROMISED}
    async with bench.owning(stored(schedule="@yearly")):
        bench.shards.trigger_changes.put_nowait(ShardChange(is_complete=False, triggers=[trigger(PROMISED)]))
        await bench.clock.advance(SECOND)
    assert link.sent == []
    assert bench.settled.settled == [(SHARD, PROMISED)]


async def test_a_promised_run_of_a_job_that_is_gone_is_explained(bench: Bench) -> None:
    async with bench.owning():
        bench.shards.trigger_changes.put_nowait(ShardChange(is_complete=False, triggers=[trigger(PROMISED, uid="old")]))
        await bench.clock.advance(SECOND)
    (note,) = bench.ledger.notes
    assert (note.execution.id, note.execution.status) == (PROMISED, execution_pb2.Execution.SKIPPED)
    assert bench.settled.settled == [(SHARD, PROMISED)]


async def test_a_job_that_cannot_be_read_any_more_harms_no_other(bench: Bench) -> None:
    link = bench.link()
    unreadable = stored("a", schedule="no schedule at all")
    await bench.store.insert(unreadable)
    async with bench.owning(unreadable, stored("b")) as runner:
        bench.shards.trigger_changes.put_nowait(ShardChange(is_complete=False, triggers=[trigger(PROMISED)]))
        await bench.clock.advance(2 * SECOND)
        assert not runner.done()
    assert [run.job.id for run in link.sent] == ["b", "b"]
    (note,) = bench.ledger.notes
    assert (note.execution.id, note.execution.status) == (PROMISED, execution_pb2.Execution.SKIPPED)
    assert "cannot be read" in note.execution.reason


async def test_a_shard_that_is_handed_over_waits_for_what_is_on_its_way(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()) as runner:
        await bench.clock.advance(1.1 * SECOND)
        runner.cancel()
        await bench.clock.advance(timedelta(milliseconds=50))
        assert not runner.done()
        bench.report(link, Event.FINISHED, link.sent[0].execution_id)
        await bench.clock.advance(timedelta(milliseconds=50))
        assert runner.done()
        assert bench.watermark() >= START + SECOND
        await bench.clock.advance(3 * SECOND)
        assert len(link.sent) == 1


async def test_a_shard_that_is_lost_is_let_go_at_once(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()) as runner:
        await bench.clock.advance(SECOND)
        bench.is_trusted = False
        runner.cancel()
        await bench.clock.advance(timedelta(milliseconds=10))
        assert runner.done()
        assert len(bench.owned) == 0
        assert bench.outbox.outstanding == 0
        assert len(link.sent) == 1


async def test_an_owned_shard_knows_its_watermark() -> None:
    shard = OwnedShard(SHARD, EPOCH, 100)
    assert shard.watermark_us() == 100
    shard.horizon_us = 500
    shard.unrecorded = {"a": 300, "b": 200}
    assert shard.watermark_us() == 199


async def test_the_watermark_does_not_pass_a_run_that_is_held_but_not_yet_in_the_ledger(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND)
        identity = link.sent[0].execution_id
        bench.outbox.link_broken(link)
        again = bench.link()
        assert again.asked == [identity]
        bench.report(again, Event.HELD, identity)
        await bench.clock.advance(SECOND)
        assert bench.watermark() < START + SECOND
        bench.report(again, Event.RECORDED, identity)
        await bench.clock.advance(SECOND / 2)
        assert bench.watermark() >= START + SECOND
