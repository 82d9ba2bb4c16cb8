"""How long nobody fires after the owner of some shards was killed: `python -m tests.faults.failover --kills 20`.

Evidence is taken at the receiver. The gap of a kill is the time from `kill -9` to the first request of a run that was
due after it, of a job whose shard the killed scheduler owned. The latest run is that which came latest after its time.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from services.scheduler.domain.identity import shard_of
from tests.faults.clock import SECOND_US, now_us
from tests.faults.cluster import Cluster, running_cluster
from tests.faults.evidence import arrivals_of
from tests.faults.history import Arrival
from tests.faults.layout import SQLITE_LAYOUT, Layout
from tests.faults.run import KEPT, tell
from tests.faults.steady_jobs import create_jobs, owners

SHARDS = 64
WARM_UP_S = 5.0
AFTER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill, and the jobs that lost their owner by it."""

    at_us: int
    replica: str
    jobs: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What a kill did. Times are microseconds; both None when nothing came any more."""

    kill: Kill
    first_us: int | None
    worst_us: int | None


async def measure(cluster: Cluster, kills: int, random: Random) -> tuple[Kill, ...]:
    """Kills the scheduler with a seeded choice, again and again, with time to recover in between."""
    names = await create_jobs(cluster)
    await asyncio.sleep(WARM_UP_S)
    done: list[Kill] = []
    for number in range(kills):
        owned = await owners(cluster)
        victim = random.choice(cluster.layout.of("scheduler"))
        jobs = frozenset(f"default/{name}" for name in names if owned[shard_of("default", name, SHARDS)] == victim)
        await asyncio.sleep(random.random())
        pid = cluster.signal(victim, signal.SIGKILL)
        done.append(Kill(at_us=now_us(), replica=victim, jobs=jobs))
        await cluster.back(victim, pid)
        await asyncio.sleep(AFTER_S)
        tell(f"kill {number + 1} of {kills}: {victim}, owner of {len(jobs)} jobs")
    return tuple(done)


def gap_of(kill: Kill, arrivals: Sequence[Arrival]) -> Gap:
    """What the receiver saw of it."""
    until = kill.at_us + int(AFTER_S * SECOND_US)
    seen = [each for each in arrivals if each.job in kill.jobs and kill.at_us < each.scheduled_us < until]
    return Gap(
        kill=kill,
        first_us=min((each.began_us - kill.at_us for each in seen), default=None),
        worst_us=max((lateness for lateness in first_lateness(seen).values()), default=None),
    )


def first_lateness(arrivals: Sequence[Arrival]) -> Mapping[str, int]:
    """How late the first request of each execution came, in microseconds."""
    found: dict[str, int] = {}
    for each in arrivals:
        lateness = each.began_us - each.scheduled_us
        found[each.execution_id] = min(lateness, found.get(each.execution_id, lateness))
    return found


def percentiles(values: Sequence[int]) -> str:
    """p50, p99 and max of some microseconds, by the nearest rank, in seconds."""
    ranked = sorted(values)
    at = {"p50": -(-len(ranked) * 50 // 100) - 1, "p99": -(-len(ranked) * 99 // 100) - 1, "max": len(ranked) - 1}
    return ", ".join(f"{name} {ranked[place] / SECOND_US:.3f} s" for name, place in at.items())


async def run(layout: Layout, folder: Path, kills: int, seed: int) -> tuple[Gap, ...]:
    """Measures on a mesh of its own."""
    async with running_cluster(layout, folder) as cluster:
        done = await measure(cluster, kills, Random(f"failover {seed}"))
    arrivals = arrivals_of(folder / "arrivals.jsonl")
    return tuple(gap_of(kill, arrivals) for kill in done)


def main(arguments: list[str]) -> int:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.failover")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sqlite", action="store_true", help="one history on SQLite, where there is no PostgreSQL")
    said = parser.parse_args(arguments)
    folder = (KEPT / f"{time.strftime('%Y%m%d-%H%M%S')}-failover").resolve()
    gaps = asyncio.run(run(SQLITE_LAYOUT if said.sqlite else Layout(), folder, said.kills, said.seed))
    first = [gap.first_us for gap in gaps if gap.first_us is not None]
    worst = [gap.worst_us for gap in gaps if gap.worst_us is not None]
    for gap in gaps:
        shown = (
            f"{value / SECOND_US:.3f} s" if value is not None else "never" for value in (gap.first_us, gap.worst_us)
        )
        print(f"{gap.kill.replica}: first {', latest run '.join(shown)} ({len(gap.kill.jobs)} jobs)")
    if not first:
        return 1
    print(f"killed -> first delivery by the successor: {percentiles(first)} ({len(first)} kills)")
    print(f"latest run of each kill: {percentiles(worst)}")
    return 0 if len(first) == len(gaps) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
