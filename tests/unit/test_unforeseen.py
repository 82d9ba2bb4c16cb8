"""Runs that an earlier owner began by a version of a job that was not in force any more."""

from datetime import timedelta
from typing import Any

import pytest
from chronos.scheduler.v1 import stored_job_pb2

from libs.faults import Unavailable
from services.scheduler.ports.ledger import Found
from services.scheduler.ports.orders import ShardChange
from tests.fakes.firing import SECOND, START, Bench, Execution, identity_at, stored, trigger, unfinished

LATE = identity_at(-1)


@pytest.fixture
def bench() -> Bench:
    """One run is recorded past the watermark; that was due a second ago."""
    bench = Bench()
    bench.shards.watermarks[7] = (1, START - 10 * SECOND)
    end = unfinished(-1, Execution.SUCCESS)
    end.completed_at.FromDatetime(START)
    bench.ledger.executions, bench.ledger.recorded = [end], {LATE}
    bench.dependants.add("default", "a", "child")
    return bench


def paused(ago: timedelta) -> stored_job_pb2.StoredJob:
    """A job that was disabled a while ago."""
    job = stored(schedule="@yearly", version=2)
    job.job.enabled = False
    job.job.updated_at.FromDatetime(START - ago)
    return job


async def test_jobs_that_follow_hear_of_a_run_that_was_not_due_any_more(bench: Bench) -> None:
    async with bench.owning(paused(2 * SECOND)):
        assert bench.followers.resumed == [LATE]


@pytest.mark.parametrize("reason", ["no dependant", "no change", "not recorded before", "not ended", "a replay"])
async def test_nothing_else_is_resumed(bench: Bench, reason: str) -> None:
    (execution,) = bench.ledger.executions
    match reason:
        case "no dependant":
            bench.dependants.children.clear()
        case "not recorded before":
            bench.ledger.recorded = {identity_at(-2)}
        case "not ended":
            execution.ClearField("completed_at")
        case "a replay":
            execution.cause = Execution.REPLAY
    async with bench.owning(paused(60 * SECOND if reason == "no change" else 2 * SECOND)):
        assert bench.followers.resumed == []


async def test_the_watermark_waits_until_history_has_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    is_away, find = True, bench.ledger.find

    async def perhaps(namespace: str, **asked: Any) -> Found:
        if is_away:
            raise Unavailable("history is away")
        return await find(namespace, **asked)

    monkeypatch.setattr(bench.ledger, "find", perhaps)
    async with bench.owning(paused(2 * SECOND)):
        await bench.clock.advance(5 * SECOND)
        assert bench.watermark() == START - 10 * SECOND
        is_away = False
        await bench.clock.advance(5 * SECOND)
        assert bench.followers.resumed == [LATE]
        assert bench.watermark() > START


async def test_a_promised_run_of_a_deleted_job_says_what_it_follows() -> None:
    bench = Bench()
    asked = trigger(identity_at(0), uid="gone", cause=Execution.DEPENDENCY, parent_execution_ids=["p1", "p2"])
    async with bench.owning(orders=ShardChange(is_complete=True, triggers=[asked])):
        await bench.clock.advance(SECOND)
        (told,) = bench.noted()
        assert (told.reason_code, list(told.parent_execution_ids)) == (Execution.DELETED, ["p1", "p2"])
