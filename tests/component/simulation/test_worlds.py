"""Simulated worlds full of faults keep every promise; broken builds do not."""

import os
import subprocess
import sys

import pytest

from tests.simulation.mutants import MUTANTS

WORLDS = int(os.environ.get("CHRONOS_WORLDS", "200"))
MOST_SEEDS_TO_CATCH = 1000
LATE = {
    "ends_unmarked": 2907,
    "tombstones_ignored": 850,
    "triggers_forgotten": 104,
    "claims_unchecked": 66,
    "claims_not_awaited": 66,
}
"""Seeds to begin with for what the first ones do not show, which docs/reliability.md tells of."""


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)


def test_every_promise_holds_in_every_world() -> None:
    done = simulate(str(WORLDS))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("seed", [7, 33, 38])
def test_a_world_is_the_same_in_each_process_that_lives_through_it(seed: int) -> None:
    first, second = simulate(f"={seed}"), simulate(f"={seed}")

    assert first.stdout.rpartition(", ")[2] == second.stdout.rpartition(", ")[2]


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_broken_build_is_caught(mutant: str) -> None:
    first = LATE.get(mutant, 0)
    done = simulate("--broken", mutant, f"{first}-{first + MOST_SEEDS_TO_CATCH - 1}")

    assert done.returncode == 0, done.stdout + done.stderr
