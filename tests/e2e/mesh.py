"""A whole mesh as `chronos up` starts it, and the ways to reach it."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[2]
REPLICAS = "scheduler=2,dispatcher=2"
UP_WITHIN = 90.0
DOWN_WITHIN = 60.0
# `chronos up` uses ports up to 599 above its base; the system's own choice of ports begins at 32768.
BASES = range(12_000, 32_000, 600)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningMesh:
    """A mesh that answers."""

    edge: str
    api_key: str
    data_dir: Path
    process: "subprocess.Popen[bytes]"

    @property
    def address(self) -> str:
        """`host:port` of the edge."""
        return self.edge.removeprefix("http://")

    def http(self, api_key: str | None = None) -> httpx.Client:
        """A client for REST calls with the first API key, or another one; empty for none."""
        key = self.api_key if api_key is None else api_key
        headers = {"X-API-Key": key} if key else {}
        return httpx.Client(base_url=self.edge, headers=headers, timeout=30, trust_env=False)

    def processes(self) -> dict[str, dict[str, Any]]:
        """Every process by its replica, as `chronos status --json` shows it."""
        status = json.loads(self.chronos("status", "--json", may_fail=True).stdout)
        return {process["replica"]: process for process in status["processes"]}

    def kill(self, replica: str) -> int:
        """Kills a process as a crash would, and returns its pid."""
        pid = int(self.processes()[replica]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def chronos(self, *arguments: str, may_fail: bool = False) -> "subprocess.CompletedProcess[str]":
        """Runs a `chronos` command for this mesh."""
        return ran("chronos", *arguments, "--data-dir", str(self.data_dir), may_fail=may_fail)

    def ctl(self, *arguments: str, may_fail: bool = False, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Runs a `chronosctl` command against this mesh."""
        environment = {"CHRONOS_SERVER": self.edge, "CHRONOS_API_KEY": self.api_key}
        return ran("chronosctl", *arguments, may_fail=may_fail, stdin=stdin, environment=environment)


def ran(
    program: str,
    *arguments: str,
    may_fail: bool = False,
    stdin: str = "",
    environment: dict[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs one of our programs to its end."""
    done = subprocess.run(
        [sys.executable, "-m", f"cli.{program}", *arguments],
        cwd=ROOT,
        env={**plain_environment(), **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert may_fail or done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done


def plain_environment() -> dict[str, str]:
    """The environment without settings of Chronos."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CHRONOS_")}


@contextmanager
def running_mesh(data_dir: Path, *flags: str) -> Iterator[RunningMesh]:
    """Starts a mesh on ports that nobody uses, and stops it at the end."""
    base = free_base()
    log = data_dir.with_suffix(".log")
    command = [sys.executable, "-m", "cli.chronos", "up", "--data-dir", str(data_dir), "--port-base", str(base), *flags]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=plain_environment(), stdout=output, stderr=output)
    try:
        eventually(lambda: is_up(process, log), within=UP_WITHIN, what=lambda: log.read_text())
        key = (data_dir / "admin.key").read_text().strip()
        yield RunningMesh(edge=f"http://127.0.0.1:{base}", api_key=key, data_dir=data_dir, process=process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DOWN_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def is_up(process: "subprocess.Popen[bytes]", log: Path) -> bool:
    """Whether the mesh says that it is up. Raises when it ended instead."""
    assert process.poll() is None, f"chronos up ended:\n{log.read_text()}"
    return "Chronos is up" in log.read_text()


def free_base() -> int:
    """A port base whose ports are free."""
    candidates = list(BASES)
    random.shuffle(candidates)
    offsets = [
        0,
        1,
        *range(10, 16),
        *range(100, 108),
        *range(200, 208),
        *range(300, 304),
        *range(400, 406),
        *range(500, 504),
    ]
    return next(base for base in candidates if all(is_free(base + offset) for offset in offsets))


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def eventually(look: Callable[[], T | None], *, within: float = 20, what: Callable[[], object] = lambda: "") -> T:
    """The first result of `look` that is true. Fails when there is none in time."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within} s: {what()}"
        time.sleep(0.05)
    return found
