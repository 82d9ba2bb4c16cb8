"""The plans of the fault suite are pure functions of the seed, and make sense."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.call_plan import plan_calls
from tests.faults.fault_plan import plan_faults
from tests.faults.healing import cluster_problems
from tests.faults.history import CallKind
from tests.faults.layout import SQLITE_LAYOUT, Layout
from tests.faults.links import Mode, Rules, between, one_way
from tests.faults.nemeses.catalog import NEMESES, SHORT

SEEDS = range(5)
HOUR = 3600.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_follows_from_its_seed(seed: int) -> None:
    assert plan_faults(seed, HOUR, Layout()) == plan_faults(seed, HOUR, Layout())
    assert plan_calls(seed, HOUR, 48) == plan_calls(seed, HOUR, 48)
    assert plan_faults(seed, HOUR, Layout()) != plan_faults(seed + 1, HOUR, Layout())
    assert plan_calls(seed, HOUR, 48) != plan_calls(seed + 1, HOUR, 48)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_hour_holds_every_kind_of_fault(seed: int) -> None:
    assert {fault.kind for fault in plan_faults(seed, HOUR, Layout())} == set(NEMESES)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_minutes_hold_kills_pauses_partitions_and_restarts(seed: int) -> None:
    kinds = [fault.kind for fault in plan_faults(seed, 120, Layout(), SHORT)]
    assert len(kinds) >= 5
    assert set(kinds) <= set(SHORT)


def test_faults_that_a_machine_cannot_make_are_left_out() -> None:
    kinds = {fault.kind for fault in plan_faults(1, HOUR, SQLITE_LAYOUT)}
    assert not any("postgres" in kind or "disk" in kind for kind in kinds)


@pytest.mark.parametrize("seed", SEEDS)
def test_only_jobs_that_exist_are_called_and_parents_stay(seed: int) -> None:
    live: set[str] = set()
    parents: set[str] = set()
    for call in plan_calls(seed, HOUR, 48):
        job = call.job.job_id
        assert (job in live) != (call.kind is CallKind.CREATE)
        parents |= {name.partition("/")[2] for name in call.job.rules.depends_on}
        if call.kind is CallKind.CREATE:
            live.add(job)
        elif call.kind is CallKind.DELETE:
            live.remove(job)
    assert parents <= live


def test_rules_hold_for_their_direction_and_the_worst_counts() -> None:
    rules = Rules([*one_way(["a"], ["b", "c"], Mode.CUT), *between(["a"], ["b"], Mode.SLOW, delay_ms=5)])
    assert rules.is_cut("a", "b")
    assert rules.is_cut("a", "c")
    assert not rules.is_cut("b", "a")
    slow = rules.of("b", "a")
    assert slow is not None
    assert (slow.mode, slow.delay_ms) == (Mode.SLOW, 5)
    assert Rules(one_way(["a"], ["b"], Mode.RESET)).is_reset("b", "a")


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MEMBERS = [{"replica": "scheduler-0", "instance": "i"}]


def shard_of(owner: str, age: float) -> dict[str, object]:
    return {"shard": 3, "owner": owner, "watermark": (NOW - timedelta(seconds=age)).isoformat()}


@pytest.mark.parametrize(
    ("shard", "members", "problem"),
    [
        (shard_of("i", 1), MEMBERS, ""),
        (shard_of("", 1), MEMBERS, "shard 3 has no owner"),
        (shard_of("i", 30), MEMBERS, "the watermark of shard 3 is at"),
        (shard_of("i", 1), [], "scheduler-0 is no member"),
    ],
)
def test_liveness_sees_what_is_wrong(shard: dict[str, object], members: list[dict[str, str]], problem: str) -> None:
    found = cluster_problems({"shards": [shard], "members": members}, NOW, ("scheduler-0",))
    assert problem in " ".join(found)
    assert bool(found) == bool(problem)
