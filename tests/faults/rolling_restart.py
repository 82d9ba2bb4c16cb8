"""How late runs are while each replica of each service is restarted in turn: `python -m tests.faults.rolling_restart`.

SIGTERM, as a deployment does it; the next follows when the last is healthy again. Evidence is taken at the receiver.
"""

import argparse
import asyncio
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.clock import SECOND_US, now_us
from tests.faults.cluster import Cluster, running_cluster
from tests.faults.evidence import arrivals_of
from tests.faults.failover import first_lateness, percentiles
from tests.faults.layout import SQLITE_LAYOUT, Layout
from tests.faults.run import KEPT, tell
from tests.faults.steady_jobs import create_jobs

WARM_UP_S = 5.0
BETWEEN_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The restart of one replica. Microseconds since the Unix epoch; `until_us` is when the next one begins."""

    replica: str
    began_us: int
    until_us: int


async def restart_all(cluster: Cluster) -> tuple[Step, ...]:
    """Restarts every replica of every service, one after the other."""
    await create_jobs(cluster)
    await asyncio.sleep(WARM_UP_S)
    steps: list[Step] = []
    for replica in cluster.layout.services:
        began = now_us()
        await cluster.back(replica, cluster.signal(replica, signal.SIGTERM))
        back = (now_us() - began) / SECOND_US
        await asyncio.sleep(BETWEEN_S)
        steps.append(Step(replica=replica, began_us=began, until_us=now_us()))
        tell(f"{replica} was back after {back:.1f} s")
    return tuple(steps)


async def run(layout: Layout, folder: Path) -> tuple[Step, ...]:
    """Measures on a mesh of its own."""
    async with running_cluster(layout, folder) as cluster:
        return await restart_all(cluster)


def main(arguments: list[str]) -> int:
    """Reads the command line, measures, prints. Exit status 1 when a run was later than a second."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rolling_restart")
    parser.add_argument("--sqlite", action="store_true", help="one history on SQLite, where there is no PostgreSQL")
    said = parser.parse_args(arguments)
    folder = (KEPT / f"{time.strftime('%Y%m%d-%H%M%S')}-rolling").resolve()
    steps = asyncio.run(run(SQLITE_LAYOUT if said.sqlite else Layout(), folder))
    arrivals = arrivals_of(folder / "arrivals.jsonl")
    latest = 0
    for step in steps:
        seen = [each for each in arrivals if step.began_us <= each.scheduled_us < step.until_us - SECOND_US]
        lateness = list(first_lateness(seen).values())
        latest = max(latest, *lateness)
        print(f"{step.replica}: {percentiles(lateness)} ({len(lateness)} runs)")
    print(f"latest of all: {latest / SECOND_US:.3f} s")
    return 0 if latest <= SECOND_US else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
