"""Jobs that do not fire, runs that nobody takes, records that do not arrive, shards that stand still."""

import asyncio
from datetime import timedelta

import pytest
import structlog
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery
from prometheus_client import REGISTRY

from services.scheduler.domain.invariants import Kind, Suspicion
from services.scheduler.firing.scan import Scan
from services.scheduler.ports.orders import ShardChange
from tests.fakes.firing import SECOND, SHARD, START, Event, identity_at, stored, trigger
from tests.unit.invariants.scanned import ScannedBench

PROMISED = "018bcfe5-6800-845c-acb2-5c033444737c"
HOURLY = "0 0 * * * *"


@pytest.fixture
def bench() -> ScannedBench:
    return ScannedBench()


async def test_a_replica_where_all_goes_on_has_no_findings(bench: ScannedBench) -> None:
    link = bench.link()
    bench.wanted = {SHARD}
    async with bench.owning(stored()):
        for _ in range(40):
            await bench.pass_time(5 * SECOND)
            bench.report(link, Event.FINISHED, *[run.execution_id for run in link.sent])
            assert list(bench.board.findings) == []


async def test_jobs_that_are_due_and_do_not_fire_are_found(bench: ScannedBench) -> None:
    bench.link()
    async with bench.owning(stored()):
        bench.ticker.fire_due = _never  # type: ignore[method-assign, assignment]
        await bench.pass_time(15 * SECOND)
        (finding,) = bench.found(Kind.OVERDUE)
        assert (finding.subject, finding.since) == (f"shard {SHARD}", START + SECOND)
        assert "default/a" in finding.message


async def test_firing_that_is_paused_says_so_and_is_gone_when_dispatchers_take_work(bench: ScannedBench) -> None:
    bench.outbox._limit = 3
    async with bench.owning(stored()):
        await bench.pass_time(20 * SECOND)
        (finding,) = bench.found(Kind.OVERDUE)
        assert "firing is paused" in finding.message
        assert "start a dispatcher" in finding.fix
        bench.link()
        await bench.pass_time(5 * SECOND)
        assert bench.found(Kind.OVERDUE) == []


async def test_a_shard_in_doubt_is_not_overdue_but_unowned(bench: ScannedBench) -> None:
    bench.link()
    bench.wanted = {SHARD}
    async with bench.owning(stored()):
        bench.is_trusted = False
        await bench.pass_time(20 * SECOND)
        assert bench.kinds() == {Kind.UNOWNED}
        bench.is_trusted = True
        await bench.pass_time(5 * SECOND)
        assert bench.found(Kind.UNOWNED) == []


async def test_a_shard_that_another_process_keeps_is_found_and_said_why(bench: ScannedBench) -> None:
    bench.wanted, bench.claimed = {SHARD, SHARD + 1}, {SHARD}
    await bench.pass_time(10 * SECOND)
    assert bench.kinds() == set()
    await bench.pass_time(5 * SECOND)
    mine, others = bench.found(Kind.UNOWNED)
    assert "take-over is not through" in mine.message
    assert "held by another process" in others.message


@pytest.mark.parametrize(("has_dispatcher", "reason"), [(False, "none is linked"), (True, "given no credit")])
async def test_runs_that_no_dispatcher_takes_are_found(bench: ScannedBench, has_dispatcher: bool, reason: str) -> None:
    if has_dispatcher:
        bench.link(credit=0)
    async with bench.owning(stored()):
        await bench.pass_time(10 * SECOND)
        assert bench.kinds() == set()
        await bench.pass_time(10 * SECOND)
        (finding,) = bench.found(Kind.UNDELIVERED)
        assert reason in finding.message
        bench.link("d2")
        await bench.pass_time(5 * SECOND)
        assert bench.found(Kind.UNDELIVERED) == []


async def test_dispatchers_that_are_busy_and_take_work_now_and_then_are_fine(bench: ScannedBench) -> None:
    link = bench.link(credit=0)
    async with bench.owning(stored()):
        for _ in range(5):
            await bench.pass_time(5 * SECOND)
            bench.outbox.link_answered(link, delivery.DeliverResponse(credit=1))
            assert bench.found(Kind.UNDELIVERED) == []


async def test_explanations_that_history_does_not_take_are_found(bench: ScannedBench) -> None:
    bench.quotas.refusal = "the quota was used up"
    async with bench.owning(stored("a", HOURLY)):
        bench.ledger.is_away = True
        bench.order(triggers=[trigger(PROMISED)])
        await bench.pass_time(40 * SECOND)
        (finding,) = bench.found(Kind.BACKLOG)
        assert finding.subject == "notes"
        bench.ledger.is_away = False
        await bench.pass_time(5 * SECOND)
        assert bench.found(Kind.BACKLOG) == []


async def test_met_orders_that_etcd_does_not_forget_are_found(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(stored("a", HOURLY), orders=ShardChange(is_complete=True, triggers=[trigger(PROMISED)])):
        (shard,) = bench.owned
        shard.unrecorded[f"{PROMISED}/followup"] = 1
        bench.report(link, Event.FINISHED, PROMISED)
        await bench.pass_time(40 * SECOND)
        assert [finding.subject for finding in bench.found(Kind.BACKLOG)] == ["orders"]
        del shard.unrecorded[f"{PROMISED}/followup"]
        await bench.pass_time(5 * SECOND)
        assert bench.found(Kind.BACKLOG) == []


async def test_a_watermark_that_stands_still_names_the_execution_and_who_has_it(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        await bench.pass_time(30 * SECOND)
        assert bench.kinds() == set()
        await bench.pass_time(10 * SECOND)
        (finding,) = bench.found(Kind.BEHIND)
        assert identity_at(1) in finding.message
        assert "is at d1" in finding.message
        bench.report(link, Event.FINISHED, *[run.execution_id for run in link.sent])
        await bench.pass_time(5 * SECOND)
        assert bench.found(Kind.BEHIND) == []


async def test_a_watermark_that_stands_still_for_dependants_says_so(bench: ScannedBench) -> None:
    bench.link()
    async with bench.owning(stored("a", HOURLY)):
        (shard,) = bench.owned
        shard.unrecorded["e1/followup"] = shard.horizon_us
        await bench.pass_time(40 * SECOND)
        (finding,) = bench.found(Kind.BEHIND)
        assert "execution e1 of" in finding.message
        assert "follow-up is not durable" in finding.message


async def test_progress_that_cannot_be_written_is_told(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(stored()):
        bench.watermarks.write = _never  # type: ignore[method-assign, assignment]
        for _ in range(9):
            await bench.pass_time(5 * SECOND)
            bench.report(link, Event.FINISHED, *[run.execution_id for run in link.sent])
        (finding,) = bench.found(Kind.BEHIND)
        assert "cannot be written to etcd" in finding.message


async def test_making_up_for_missed_runs_is_no_finding(bench: ScannedBench) -> None:
    link = bench.link()
    async with bench.owning(stored("a", HOURLY)):
        (shard,) = bench.owned
        shard.unrecorded["uid-a"] = shard.horizon_us
        await bench.pass_time(60 * SECOND)
        assert bench.found(Kind.BEHIND) == []
        assert link.sent == []


async def test_a_finding_is_logged_once_when_it_comes_and_once_when_it_goes(bench: ScannedBench) -> None:
    with structlog.testing.capture_logs() as logs:
        bench.scan = Scan(bench.checks, bench.board, bench.clock, interval=5 * SECOND)
        bench.wanted = {9}
        await bench.pass_time(timedelta(minutes=2))
        bench.wanted = set()
        await bench.pass_time(10 * SECOND)
    lines = [(line["log_level"], line["event"], line["subject"]) for line in logs]
    assert lines == [("warning", "invariant broken", "shard 9"), ("info", "invariant holds again", "shard 9")]
    assert "tried again every 5 s" in logs[0]["fix"]


async def _never(*_: object) -> None:
    return


class Broken:
    """A check that fails when it looks."""

    async def look(self) -> list[Suspicion]:
        raise RuntimeError("a bug")


async def test_a_check_that_fails_is_logged_and_ends_nothing(bench: ScannedBench) -> None:
    with structlog.testing.capture_logs() as logs:
        scan = Scan([Broken()], bench.board, bench.clock, interval=5 * SECOND)
        task = asyncio.ensure_future(scan.run())
        await bench.clock.advance(12 * SECOND)
        assert not task.done()
        task.cancel()
    assert [line["event"] for line in logs] == ["invariants not looked at"] * 2


async def test_the_gauge_follows_the_findings(bench: ScannedBench) -> None:
    bench.wanted = {8, 9}
    await bench.pass_time(15 * SECOND)
    assert gauge("unowned") == 2
    bench.wanted = set()
    await bench.pass_time(5 * SECOND)
    assert gauge("unowned") == 0


def gauge(kind: str) -> float | None:
    return REGISTRY.get_sample_value("chronos_invariant_findings", {"kind": kind})
