"""Runs of which nothing is heard any more: found, asked about, and handed out again only when nobody has them."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2, target_pb2
from google.protobuf.duration_pb2 import Duration

from services.scheduler.domain.invariants import Kind
from tests.fakes.firing import SECOND, Event, identity_at, ids, stored, unfinished
from tests.fakes.scheduler import FakeLink
from tests.unit.invariants.scanned import ScannedBench

Execution = execution_pb2.Execution
MINUTE = timedelta(minutes=1)
YEARLY = "0 0 0 1 1 *"
# One attempt of at most 30 s, and a minute of slack.
PATIENT = 95 * SECOND


@pytest.fixture
def bench() -> ScannedBench:
    return ScannedBench()


def single(*, at_most_once: bool = False, timeout: float = 30) -> stored_job_pb2.StoredJob:
    return stored(
        "a",
        "@at 2026-01-01T00:00:01Z",
        retry_policy=target_pb2.RetryPolicy(max_attempts=1),
        timeout=Duration(seconds=int(timeout)),
        delivery_guarantee=job_pb2.Job.AT_MOST_ONCE if at_most_once else job_pb2.Job.AT_LEAST_ONCE,
    )


def in_ledger(bench: ScannedBench, status: "Execution.Status.ValueType") -> None:
    bench.ledger.executions = [unfinished(1, status)]


async def sent_and_recorded(bench: ScannedBench, link: FakeLink) -> str:
    await bench.pass_time(5 * SECOND)
    (run,) = link.sent
    bench.report(link, Event.RECORDED, run.execution_id)
    in_ledger(bench, Execution.RUNNING)
    return run.execution_id


async def test_a_run_may_take_as_long_as_its_policy_allows(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single(timeout=120)):
        await sent_and_recorded(bench, link)
        await bench.pass_time(2 * MINUTE)
        assert bench.found(Kind.STUCK) == []
        assert link.asked == []
        await bench.pass_time(2 * MINUTE)
        assert len(bench.found(Kind.STUCK)) == 1


async def test_a_stuck_run_is_found_and_its_dispatcher_is_asked(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single()):
        identity = await sent_and_recorded(bench, link)
        await bench.pass_time(PATIENT)
        (finding,) = bench.found(Kind.STUCK)
        assert finding.subject == f"execution {identity}"
        assert "default/a" in finding.message
        assert "d1" in finding.message
        assert link.asked == [identity]


async def test_a_run_that_its_dispatcher_holds_stays_there_and_is_asked_about_once_a_minute(
    bench: ScannedBench,
) -> None:
    link = bench.link()
    async with bench.owning(single()):
        identity = await sent_and_recorded(bench, link)
        await bench.pass_time(PATIENT)
        bench.report(link, Event.HELD, identity)
        await bench.pass_time(MINUTE)
        assert link.asked == [identity] * 2
        bench.report(link, Event.HELD, identity)
        assert len(link.sent) == 1
        bench.report(link, Event.FINISHED, identity)
        await bench.pass_time(5 * SECOND)
        assert bench.kinds() == set()
        assert bench.quotas.running == 0


async def test_a_run_that_its_dispatcher_does_not_hold_is_handed_out_again(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single()):
        identity = await sent_and_recorded(bench, link)
        await bench.pass_time(PATIENT)
        bench.report(link, Event.UNKNOWN, identity)
        assert [(run.execution_id, run.delivery) for run in link.sent] == [(identity, 1), (identity, 2)]
        await bench.pass_time(5 * SECOND)
        assert bench.found(Kind.STUCK) == []


async def test_a_run_that_may_go_out_once_only_is_lost_and_not_repeated(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single(at_most_once=True)):
        identity = await sent_and_recorded(bench, link)
        await bench.pass_time(PATIENT)
        bench.report(link, Event.UNKNOWN, identity)
        await bench.pass_time(5 * SECOND)
        assert len(link.sent) == 1
        assert [execution.id for execution in bench.noted(Execution.LOST)] == [identity]


async def test_an_end_that_the_ledger_has_counts_and_nobody_is_asked(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single()):
        identity = await sent_and_recorded(bench, link)
        in_ledger(bench, Execution.FAILED)
        await bench.pass_time(PATIENT)
        assert (link.asked, bench.outbox.outstanding) == ([], 0)
        assert bench.quotas.running == 0
        assert [each[0] for each in bench.followers.ended] == [identity]
        await bench.pass_time(5 * SECOND)
        assert bench.kinds() == set()


async def test_while_history_is_away_nobody_is_asked(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single()):
        await sent_and_recorded(bench, link)
        bench.ledger.is_away = True
        await bench.pass_time(PATIENT)
        assert len(bench.found(Kind.STUCK)) == 1
        assert link.asked == []
        bench.ledger.is_away = False
        await bench.pass_time(5 * SECOND)
        assert len(link.asked) == 1


async def test_a_shard_in_doubt_asks_nobody(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single()):
        await sent_and_recorded(bench, link)
        bench.is_trusted = False
        await bench.pass_time(PATIENT)
        assert link.asked == []


async def test_an_answer_that_is_overtaken_by_a_new_hand_out_takes_nothing_away(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single()):
        identity = await sent_and_recorded(bench, link)
        assert bench.outbox.ask_again([identity]) == 1
        bench.report(link, Event.RETURNED, identity)
        bench.report(link, Event.UNKNOWN, identity)
        assert [run.delivery for run in link.sent] == [1, 2]
        assert bench.outbox.outstanding == 1


async def test_an_unasked_word_that_a_run_is_unknown_changes_nothing(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single()):
        identity = await sent_and_recorded(bench, link)
        bench.report(link, Event.UNKNOWN, identity)
        assert len(link.sent) == 1


async def test_a_run_that_nobody_answers_for_is_in_doubt_and_asked_about_again(bench: ScannedBench) -> None:
    link = bench.link()
    bench.ledger.unfinished = [unfinished(1, Execution.RUNNING)]
    in_ledger(bench, Execution.RUNNING)
    async with bench.owning(stored("a", YEARLY)):
        identity = identity_at(1)
        assert link.asked == [identity]
        await bench.pass_time(40 * SECOND)
        (finding,) = bench.found(Kind.IN_DOUBT)
        assert finding.subject == f"execution {identity}"
        assert link.asked == [identity] * 2
        bench.report(link, Event.HELD, identity)
        await bench.pass_time(5 * SECOND)
        assert bench.kinds() == set()


async def test_a_run_whose_dispatcher_is_out_of_reach_is_in_doubt(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(single()):
        identity = await sent_and_recorded(bench, link)
        bench.outbox.link_broken(link)
        await bench.pass_time(40 * SECOND)
        assert [finding.subject for finding in bench.found(Kind.IN_DOUBT)] == [f"execution {identity}"]
        in_ledger(bench, Execution.SUCCESS)
        await bench.pass_time(MINUTE)
        assert bench.kinds() == set()
        assert bench.outbox.outstanding == 0


async def test_a_run_that_the_ledger_has_and_nobody_holds_is_found_and_handed_out_again(bench: ScannedBench) -> None:
    link = bench.link()
    bench.live = {"d1"}
    async with bench.owning(stored("a", YEARLY)):
        bench.ledger.unfinished = [unfinished(1, Execution.RUNNING)]
        await bench.pass_time(70 * SECOND)
        (finding,) = bench.found(Kind.UNHELD)
        assert finding.subject == f"execution {identity_at(1)}"
        assert link.asked == [identity_at(1)]
        assert link.sent == []
        bench.report(link, Event.UNKNOWN, identity_at(1))
        assert [(run.execution_id, run.delivery) for run in link.sent] == [(identity_at(1), 2)]
        assert bench.quotas.running == 1
        await bench.pass_time(70 * SECOND)
        assert bench.found(Kind.UNHELD) == []


async def test_a_run_that_is_missing_is_not_touched_while_a_live_dispatcher_is_not_linked(bench: ScannedBench) -> None:
    link = bench.link()
    bench.live = {"d1", "d2"}
    async with bench.owning(stored("a", YEARLY)):
        bench.ledger.unfinished = [unfinished(1, Execution.RUNNING)]
        await bench.pass_time(70 * SECOND)
        assert len(bench.found(Kind.UNHELD)) == 1
        assert link.asked == []
        second = bench.link("d2")
        await bench.pass_time(70 * SECOND)
        assert link.asked == second.asked == [identity_at(1)]


async def test_one_look_that_misses_a_run_is_not_enough(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(stored("a", YEARLY)):
        bench.ledger.unfinished = [unfinished(1, Execution.RUNNING)]
        await bench.pass_time(60 * SECOND)
        bench.ledger.unfinished = []
        await bench.pass_time(70 * SECOND)
        assert bench.found(Kind.UNHELD) == []
        assert link.asked == []


async def test_runs_that_are_held_queued_or_about_to_be_ended_are_not_missing(bench: ScannedBench) -> None:
    link = bench.link(credit=1)
    async with bench.owning(stored("a", "0 * * * * *"), stored("b", "0 * * * * *")):
        await bench.pass_time(70 * SECOND)
        held, queued = ids(link.sent), bench.outbox.queued_ids()
        assert (len(held), len(queued)) == (1, 1)
        (shard,) = bench.owned
        shard.unrecorded["ending"] = shard.horizon_us
        bench.ledger.unfinished = [
            Execution(id=identity, namespace="default", job_id="a", job_uid="uid-a", status=Execution.RUNNING)
            for identity in (*held, *queued, "ending")
        ]
        await bench.pass_time(120 * SECOND)
        assert bench.found(Kind.UNHELD) == []
        assert link.asked == []


async def test_a_replay_that_is_missing_is_told_and_left_alone(bench: ScannedBench) -> None:
    link = bench.link()
    bench.live = {"d1"}
    async with bench.owning(stored("a", YEARLY)):
        replay = unfinished(1, Execution.RUNNING)
        replay.cause = Execution.REPLAY
        bench.ledger.unfinished = [replay]
        await bench.pass_time(70 * SECOND)
        assert "replay" in bench.found(Kind.UNHELD)[0].fix
        assert link.asked == []


async def test_many_runs_are_looked_at_without_keeping_others_from_their_turn(bench: ScannedBench) -> None:
    link = bench.link(credit=100_000)
    async with bench.owning(single()):
        await bench.pass_time(5 * SECOND)
        (run,) = link.sent
        bench.outbox.submit([replace(run, execution_id=f"{n:036}") for n in range(10_000)])
        look = asyncio.ensure_future(bench.scan.look())
        turns = 0
        while not look.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 5
