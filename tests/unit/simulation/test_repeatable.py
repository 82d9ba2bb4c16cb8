"""A seed is the same world each time, or a failure could not be looked at again."""

import subprocess
import sys

import pytest


def last_line(seed: int) -> str:
    """What a process of its own says about a seed; without the time that it took."""
    command = [sys.executable, "-m", "tests.simulation", f"={seed}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return text.splitlines()[-1].rpartition(" ")[2]


@pytest.mark.parametrize("seed", [33, 38])
def test_two_processes_see_the_same_world(seed: int) -> None:
    first, second = last_line(seed), last_line(seed)
    assert first == second
