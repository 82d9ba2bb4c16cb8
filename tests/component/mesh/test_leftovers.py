import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.chronos.down import down
from cli.chronos.leftovers import remove
from cli.chronos.processes import start_mark
from cli.chronos.state import MeshState, Phase, Probe, ProbeKind, ProcessState, load, save
from libs.clock import SystemClock

PROBE = Probe(kind=ProbeKind.HTTP, address="127.0.0.1:1", path="/")


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def state_of_a_dead_supervisor(pid: int, mark: str | None) -> MeshState:
    process = ProcessState(
        name="a", replica="a-0", pid=pid, mark=mark, ports={}, restarts=0, started_at=None, probe=PROBE
    )
    return MeshState(
        phase=Phase.RUNNING,
        supervisor_pid=2**22 + 1,
        supervisor_mark="1",
        started_at="2026-01-01T00:00:00+00:00",
        port_base=8080,
        edge_url="http://127.0.0.1:8080",
        etcd_endpoints=(),
        processes=(process,),
    )


async def test_what_a_dead_supervisor_left_is_ended(tmp_path: Path, child: "subprocess.Popen[bytes]") -> None:
    save(tmp_path, state_of_a_dead_supervisor(child.pid, start_mark(child.pid)))
    await remove(tmp_path, SystemClock())
    assert start_mark(child.pid) is None
    assert load(tmp_path) is None


async def test_a_process_that_only_has_the_same_pid_is_left_alone(
    tmp_path: Path, child: "subprocess.Popen[bytes]"
) -> None:
    save(tmp_path, state_of_a_dead_supervisor(child.pid, "another start"))
    await remove(tmp_path, SystemClock())
    assert child.poll() is None
    assert load(tmp_path) is None


async def test_down_clears_up_after_a_dead_supervisor(tmp_path: Path, child: "subprocess.Popen[bytes]") -> None:
    save(tmp_path, state_of_a_dead_supervisor(child.pid, start_mark(child.pid)))
    told: list[str] = []
    await down(tmp_path, SystemClock(), told.append)
    assert start_mark(child.pid) is None
    assert "had died" in told[0]
