"""The fault suite: `python -m tests.faults.run --duration 5m --seed 7`. Exit status 1 when a promise was broken."""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from libs.durations import parse_duration
from tests.faults.call_plan import PlannedCall, plan_calls
from tests.faults.checker import check
from tests.faults.clock import SECOND_US, now_us
from tests.faults.cluster import ENDPOINT, Cluster, running_cluster
from tests.faults.completer import completing
from tests.faults.evidence import arrivals_of, records_of
from tests.faults.fault_plan import PlannedFault, plan_faults
from tests.faults.freeze import create_freeze
from tests.faults.healing import heal, is_settled, is_well
from tests.faults.history import History, Limits, save
from tests.faults.layout import POSTGRES, SQLITE_LAYOUT, Layout
from tests.faults.movable_clocks import make_movable_clocks
from tests.faults.nemeses.catalog import NEMESES, SHORT
from tests.faults.small_disk import make_small_disk
from tests.faults.striking import FaultLog, strike_all
from tests.faults.timeline_picture import write_picture
from tests.faults.verdict import Verdict, report
from tests.faults.workload import Workload

FLAGS = ("--set", "dispatcher-0.breaker_failures=0", "--set", "dispatcher-1.breaker_open=3s")
"""One dispatcher with circuit breakers, one without."""
CALM_AFTER_S = 15.0
"""Longer than a watermark may be behind: those that stand still are seen by then."""
UNJUDGED_S = 12.0
"""Longer than any run takes: what the pause at the end does to runs is not judged."""
KEPT = Path(".build/faults")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do: a pure function of the seed, the duration and what this machine can do."""

    seed: int
    duration_s: float
    layout: Layout
    calls: tuple[PlannedCall, ...]
    faults: tuple[PlannedFault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. `problems` are what liveness and mending found."""

    history: History
    verdict: Verdict
    problems: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept, and everything was well at the end."""
        return self.verdict.is_kept and not self.problems


def plan(seed: int, duration_s: float, layout: Layout, jobs: int, kinds: Sequence[str]) -> Plan:
    """The plan of a run."""
    return Plan(
        seed=seed,
        duration_s=duration_s,
        layout=layout,
        calls=plan_calls(seed, duration_s, jobs),
        faults=plan_faults(seed, duration_s, layout, kinds),
    )


async def carry_out(
    plan: Plan, folder: Path, limits: Limits, tell: Callable[[str], None], environment: dict[str, str]
) -> Outcome:
    """Runs a plan on a mesh of its own, and judges it. Everything that was seen stays in `folder`."""
    async with running_cluster(plan.layout, folder, flags=FLAGS, environment=environment) as cluster:
        tell(f"the mesh is up: {', '.join(cluster.layout.nodes)}")
        history, problems = await _live(plan, cluster, folder, limits, tell)
    save(history, folder / "history.jsonl")
    verdict = check(history, limits)
    write_picture(folder / "timeline.html", history, verdict, limits)
    return Outcome(history=history, verdict=verdict, problems=problems)


async def _live(
    plan: Plan, cluster: Cluster, folder: Path, limits: Limits, tell: Callable[[str], None]
) -> tuple[History, tuple[str, ...]]:
    log = FaultLog()
    async with cluster.api() as api, completing(api, folder / "arrivals.jsonl") as completer:
        await create_freeze(api)
        began = now_us()
        workload = Workload(api, cluster.links[ENDPOINT])
        async with asyncio.TaskGroup() as group:
            group.create_task(workload.run(plan.calls, began))
            group.create_task(strike_all(cluster, plan.faults, began, log, tell))
        tell("healing")
        await heal(cluster)
        problems = await is_well(cluster, tell)
        await asyncio.sleep(CALM_AFTER_S)
        problems += await is_well(cluster, tell)
        judged_until = now_us()
        await asyncio.sleep(UNJUDGED_S)
        await workload.pause_all()
        tell(f"{workload.count()}; settling")
        problems += await is_settled(cluster)
    tell(f"proxies: {await cluster.proxies.order({'stats': True})}")
    records = await records_of(cluster)
    ended = now_us()
    history = History(
        calls=(*workload.calls, *completer.calls),
        arrivals=arrivals_of(folder / "arrivals.jsonl"),
        records=records,
        faults=tuple(log.spans),
        phases=log.phases(began, ended, limits.recovery_us),
        began_us=began,
        judged_until_us=judged_until,
        ended_us=ended,
    )
    return history, tuple(log.failures + problems)


def prepare(layout: Layout, folder: Path, tell: Callable[[str], None]) -> tuple[Layout, dict[str, str]]:
    """Finds out what this machine can do, and says what it cannot. Call it before anything is started."""
    if layout.has_postgres:
        problem = make_small_disk(folder / POSTGRES)
        layout = replace(layout, has_small_disk=not problem)
        if problem:
            tell(f"LEFT OUT full-disk: {problem}")
    environment, problem = make_movable_clocks(folder, layout.services)
    if problem:
        tell(f"LEFT OUT clock jumps: {problem}")
    return replace(layout, has_movable_clocks=not problem), environment


def summary(outcome: Outcome, folder: Path, seed: int) -> str:
    """For the person who started it."""
    lines = [report(outcome.verdict), *(f"NOT WELL: {problem}" for problem in outcome.problems)]
    lines.append(f"Kept in {folder}: history.jsonl, timeline.html, arrivals.jsonl, mesh/logs")
    lines.append(f"{'KEPT' if outcome.is_good else 'BROKEN'}: seed {seed}")
    return "\n".join(lines)


def tell(line: str) -> None:
    """Shows a line with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def main(arguments: list[str]) -> int:
    """Reads the command line, runs, prints the verdict."""
    said = _read(arguments)
    seed = random.randrange(1_000_000) if said.seed is None else said.seed
    folder = (said.folder or KEPT / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}").resolve()
    layout, environment = SQLITE_LAYOUT if said.sqlite else Layout(), dict[str, str]()
    if not said.plan:
        layout, environment = prepare(layout, folder, tell)
    planned = plan(seed, parse_duration(said.duration).total_seconds(), layout, said.jobs, _kinds(said.kinds))
    tell(f"seed {seed}, {said.duration}, {said.jobs} jobs, {len(planned.calls)} calls, {len(planned.faults)} faults:")
    print(*planned.faults, sep="\n", flush=True)
    if said.plan:
        return 0
    limits = Limits(epsilon_us=_us(said.epsilon), recovery_us=_us(said.recovery))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing is left behind
    outcome = asyncio.run(carry_out(planned, folder, limits, tell, environment))
    shutil.rmtree(folder / "mesh" / "etcd", ignore_errors=True)  # large, and of no use to a reader
    text = summary(outcome, folder, seed)
    (folder / "verdict.txt").write_text(text + "\n")
    print(text, flush=True)
    return 0 if outcome.is_good else 1


def _read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=(__doc__ or "").split("`")[0])
    parser.add_argument("--duration", default="5m", help="how long there are calls and faults: 2m, 1h30m")
    parser.add_argument("--seed", type=int, default=None, help="of calls and faults; a random one is printed")
    parser.add_argument("--jobs", type=int, default=48, help="how many at the beginning")
    parser.add_argument("--kinds", default="", help="only these faults: kind,kind; short is the choice for CI")
    parser.add_argument("--sqlite", action="store_true", help="one history on SQLite, where there is no PostgreSQL")
    parser.add_argument("--epsilon", default="1s", help="latest arrival after the scheduled time, outside faults")
    parser.add_argument("--recovery", default="5s", help="what a fault may delay after its end")
    parser.add_argument("--folder", type=Path, default=None, help="where everything is kept, in place of .build/faults")
    parser.add_argument("--plan", action="store_true", help="print the plan of a machine that can do all, and stop")
    return parser.parse_args(arguments)


def _kinds(text: str) -> tuple[str, ...]:
    """Raises SystemExit for a kind that does not exist."""
    if text in ("", "short"):
        return SHORT if text else tuple(NEMESES)
    kinds = tuple(text.split(","))
    if unknown := set(kinds) - set(NEMESES):
        raise SystemExit(f"--kinds: no such fault: {', '.join(sorted(unknown))}; there are {', '.join(NEMESES)}")
    return kinds


def _us(text: str) -> int:
    return int(parse_duration(text).total_seconds() * SECOND_US)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
