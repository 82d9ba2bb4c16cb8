"""Drives the whole mesh with jobs that fire every second, and prints what arrived, how late, and at what cost.

    python -m bench --jobs 3000 --seconds 30

Starts a mesh of its own (`chronos up`, in a folder of its own, on free ports) and a receiver (nginx, or a built-in one
where nginx is absent), creates the jobs through the edge, lets them fire, and stops everything.
"""

import argparse
import asyncio
import shutil
import tempfile
from pathlib import Path

from bench import load, report
from bench.cpu import CpuClock
from bench.mesh import BenchMesh
from bench.receiver import open_receiver

SETTLE_SECONDS = 3.0


def main() -> None:
    """Runs one benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the whole mesh on this machine.")
    parser.add_argument("--jobs", type=int, default=1000, help="jobs that fire every second (default 1000)")
    parser.add_argument("--seconds", type=int, default=30, help="length of the measured window (default 30)")
    parser.add_argument("--warmup", type=int, default=5, help="seconds before it (default 5)")
    parser.add_argument("--burst", action="store_true", help="all jobs at the full second, instead of spread over it")
    parser.add_argument("--replicas", default="", help="for example scheduler=2,dispatcher=2")
    parser.add_argument("--receiver", choices=["auto", "nginx", "builtin"], default="auto", help="what is called")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chronos-bench-"))
    try:
        asyncio.run(run(arguments, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Starts, loads, measures, reports, stops."""
    async with open_receiver(folder, arguments.receiver) as receiver, BenchMesh(folder, arguments.replicas) as mesh:
        print(f"receiver: {receiver.name}; {arguments.jobs} jobs a second, "
              f"{'all at the full second' if arguments.burst else 'spread over the second'}", flush=True)  # fmt: skip
        schedule = "* * * * * *" if arguments.burst else "@every 1s"
        await load.create_jobs(mesh, arguments.jobs, schedule, receiver.url)
        await asyncio.sleep(arguments.warmup)
        pids = {**mesh.pids(), receiver.name: receiver.pids()}
        clock = CpuClock(pids)
        start = load.now()
        await asyncio.sleep(arguments.seconds)
        end = load.now()
        cpu = clock.elapsed()
        await load.disable_jobs(mesh, arguments.jobs)
        recorded = await load.recorded(mesh, start, end)
        await asyncio.sleep(SETTLE_SECONDS)
        arrivals = receiver.arrivals()
    report.print_report(
        report.Run(jobs=arguments.jobs, start=start, end=end, arrivals=arrivals, recorded=recorded, cpu=cpu)
    )


if __name__ == "__main__":
    main()
