"""`python -m tests.simulation`: lives through worlds, and says which promises did not hold in which of them."""

import argparse
import sys
import time
from pathlib import Path

from tests.faults.history import save
from tests.faults.verdict import report
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import Result, run_seed, run_seeds, with_fixed_hashes
from tests.simulation.tame import Tell, to_stderr


def main() -> int:
    """Runs the seeds that were asked for; the exit status is 1 when one of them shows a problem."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=main.__doc__)
    parser.add_argument("seeds", nargs="?", default="200", help="how many, or FIRST-LAST, or one as =SEED")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--pace", choices=("brisk", "calm", "calendar"), default="", help="only worlds of this pace")
    parser.add_argument("--broken", choices=sorted(MUTANTS), help="break the code so, and stop once a seed shows it")
    parser.add_argument("--verbose", action="store_true", help="a line for each seed")
    parser.add_argument("--logs", action="store_true", help="print what the nodes of a single seed log")
    parser.add_argument("--keep", type=Path, help="write the history of a single seed to this file (JSON lines)")
    arguments = parser.parse_args()
    with_fixed_hashes(["-m", "tests.simulation", *sys.argv[1:]])
    if arguments.seeds.startswith("="):
        if arguments.broken:
            MUTANTS[arguments.broken]()
        return _one(int(arguments.seeds[1:]), arguments.pace, arguments.keep, to_stderr if arguments.logs else None)
    first, _, last = arguments.seeds.rpartition("-")
    seeds = range(int(first) if first else 0, int(last) + (1 if first else 0))
    if arguments.broken:
        return _catch(arguments.broken, seeds, arguments.workers, arguments.pace)
    return _many(seeds, arguments.workers, arguments.pace, arguments.verbose)


def _one(seed: int, pace: str, keep: Path | None, tell: Tell | None) -> int:
    result, history, verdict = run_seed(seed, pace, tell=tell)
    if keep is not None:
        save(history, keep)
    print(report(verdict))
    for problem in result.problems:
        print(f"  {problem}")
    print(_line(result))
    return 1 if result.problems else 0


def _catch(name: str, seeds: range, workers: int, pace: str) -> int:
    """The exit status is 0 when a seed shows that the code is broken."""
    for count, result in enumerate(run_seeds(seeds, workers=workers, pace=pace, prepare=MUTANTS[name]), 1):
        if result.problems:
            print(f"{name}: caught by seed {result.seed}, the {count}. that ended: {result.problems[0]}")
            return 0
    print(f"{name}: not caught by {len(seeds)} seeds")
    return 1


def _many(seeds: range, workers: int, pace: str, is_verbose: bool) -> int:
    began = time.perf_counter()
    results = []
    for result in run_seeds(seeds, workers=workers, pace=pace):
        results.append(result)
        if result.problems or is_verbose:
            print(_line(result), flush=True)
        if result.problems:
            for problem in result.problems[:5]:
                print(f"  {problem}")
            print(f"  again: make simulate SEEDS=={result.seed}", flush=True)
    spent = time.perf_counter() - began
    virtual = sum(result.virtual_seconds for result in results)
    bad = [result.seed for result in results if result.problems]
    print(
        f"{len(results)} seeds: {len(bad)} with problems; {sum(r.targets for r in results):,} targets, "
        f"{sum(r.arrivals for r in results):,} requests, {virtual / 86_400:.1f} days of virtual time in {spent:.0f} s "
        f"({virtual / spent:,.0f} times faster than real time)"
    )
    return 1 if bad else 0


def _line(result: Result) -> str:
    return (
        f"seed {result.seed} ({result.pace}): {len(result.problems)} problems, {result.targets} targets, "
        f"{result.arrivals} requests, {result.virtual_seconds:,.0f} s in {result.cpu_seconds:.2f} s, "
        f"{result.fingerprint}"
    )


if __name__ == "__main__":
    sys.exit(main())
