"""Runs many seeds, each in a process of its own, and says what was found."""

import gc
import hashlib
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.faults.checker import check
from tests.faults.history import SECOND_US, History, Limits, lines_of
from tests.faults.verdict import Verdict, Violation
from tests.simulation.plan import Plan, draw
from tests.simulation.tame import Tell
from tests.simulation.world import live

HASH_SEED = "0"
MOST_SECONDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a seed showed. `fingerprint` is the same whenever the same code runs the same seed."""

    seed: int
    pace: str
    problems: tuple[str, ...]
    targets: int
    arrivals: int
    virtual_seconds: float
    cpu_seconds: float
    fingerprint: str


def limits_of(plan: Plan) -> Limits:
    """What the world of a plan may cost in lateness: its leases and retries set the pace."""
    lease_us = plan.pace.lease.total_seconds() * SECOND_US
    return Limits(
        epsilon_us=int(1.5 * SECOND_US + plan.clock_error * SECOND_US),
        recovery_us=int(4 * lease_us + 20 * SECOND_US),
        change_us=int(SECOND_US + plan.clock_error * SECOND_US),
        lease_us=int(lease_us),
        clock_error_us=int(plan.clock_error * SECOND_US) + 1,
    )


def run_seed(
    seed: int, pace: str = "", prepare: Callable[[], None] | None = None, tell: Tell | None = None
) -> tuple[Result, History, Verdict]:
    """Runs one seed in this process, which should end soon after. `prepare` may break the code first."""
    began = time.process_time()
    plan = draw(seed, pace)
    if prepare is not None:
        prepare()
    outcome = live(plan, tell)
    verdict = check(outcome.history, limits_of(plan))
    digest = hashlib.sha256()
    for line in lines_of(outcome.history):
        digest.update(line.encode())
    result = Result(
        seed=seed,
        pace=plan.pace.name,
        problems=(*outcome.problems, *map(_sentence, verdict.violations)),
        targets=verdict.counts.targets,
        arrivals=len(outcome.history.arrivals),
        virtual_seconds=outcome.seconds,
        cpu_seconds=time.process_time() - began,
        fingerprint=digest.hexdigest()[:16],
    )
    return result, outcome.history, verdict


def _sentence(violation: Violation) -> str:
    return f"{violation.kind} {violation.job} {violation.execution_id}: {violation.sentence}"


def run_seeds(
    seeds: Iterable[int], *, workers: int, pace: str = "", prepare: Callable[[], None] | None = None
) -> Iterator[Result]:
    """Runs seeds in forked processes, as many at a time as there are workers; results come as they are ready."""
    gc.collect()
    gc.freeze()
    waiting = iter(seeds)
    running: dict[int, tuple[int, int]] = {}
    is_over = False
    while not is_over or running:
        while not is_over and len(running) < workers:
            seed = next(waiting, None)
            if seed is None:
                is_over = True
                break
            pid, pipe = _fork(seed, pace, prepare)
            running[pipe] = (pid, seed)
        for pipe in select.select(list(running), [], [])[0] if running else ():
            pid, seed = running.pop(pipe)
            yield _collect(pid, pipe, seed)


def _fork(seed: int, pace: str, prepare: Callable[[], None] | None) -> tuple[int, int]:
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    try:
        gc.disable()
        signal.signal(signal.SIGPROF, _too_long)
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        result = run_seed(seed, pace, prepare)[0]
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(result, pipe)
    except BaseException:  # noqa: BLE001 - told to the parent
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(traceback.format_exc(), pipe)
    finally:
        os._exit(0)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"not over after {MOST_SECONDS} s of CPU; does something run in circles?")


def _collect(pid: int, pipe: int, seed: int) -> Result:
    with os.fdopen(pipe, "rb") as file:
        content = file.read()
    os.waitpid(pid, 0)
    found = pickle.loads(content) if content else "the process died"
    if isinstance(found, Result):
        return found
    return Result(
        seed=seed, pace="", problems=(str(found),), targets=0, arrivals=0, virtual_seconds=0.0, cpu_seconds=0.0,
        fingerprint="",
    )  # fmt: skip


def with_fixed_hashes(arguments: Sequence[str]) -> None:
    """Starts Python again unless it hashes strings the same way each time: sets of them have an order."""
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, "PYTHONHASHSEED": HASH_SEED})
