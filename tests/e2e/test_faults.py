"""The fault suite, for two minutes: kills, pauses, partitions and restarts. `make faults` runs it longer, with more."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.mesh import ROOT, plain_environment
from tests.postgres_server import find_binary

pytestmark = pytest.mark.mesh
ALL_OF_IT_S = 420.0
SEED = 4


def test_no_promise_is_broken_by_two_minutes_of_faults(tmp_path: Path) -> None:
    """A process of its own: the suite makes mounts that are to end with it."""
    if find_binary("postgres") is None:
        pytest.skip("there is no PostgreSQL")
    command = [sys.executable, "-m", "tests.faults.run", "--kinds", "short", "--duration", "2m", "--seed", str(SEED)]
    # A shared machine of a CI is slower than what the figures in docs/ are measured on.
    command += ["--jobs", "32", "--epsilon", "3s", "--recovery", "15s", "--folder", str(tmp_path / "kept")]
    done = subprocess.run(
        command, cwd=ROOT, env=plain_environment(), capture_output=True, text=True, timeout=ALL_OF_IT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
