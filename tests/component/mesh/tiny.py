"""Real little processes in place of services."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cli.chronos.backoff import Backoff
from cli.chronos.state import Probe, ProbeKind, ProcessState
from cli.chronos.supervisor import Supervisor, Surroundings
from cli.chronos.topology import ProcessSpec
from libs.clock import SystemClock

WAIT = "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
STOPS_ON_TERM = f"{WAIT}print('up', flush=True); signal.sigwait([signal.SIGTERM]); print('stopped', flush=True)"
IGNORES_TERM = f"{WAIT}print('up', flush=True); time.sleep(600)"
QUICK = Backoff(first=timedelta(milliseconds=10), longest=timedelta(milliseconds=20))
PATIENCE = timedelta(seconds=20)


def spec(replica: str, program: str = STOPS_ON_TERM, *arguments: str) -> ProcessSpec:
    """A process that runs a line of Python."""
    return ProcessSpec(
        name=replica.rpartition("-")[0],
        replica=replica,
        command=(sys.executable, "-S", "-c", program, *arguments),
        ports={},
        probe=Probe(kind=ProbeKind.HTTP, address="127.0.0.1:1"),
    )


@dataclass(kw_only=True)
class Watched:
    """A supervisor's surroundings whose events a test can wait for."""

    log_dir: Path
    states: list[ProcessState] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def supervisor(self, pid: int) -> Supervisor:
        surroundings = Surroundings(
            log_dir=self.log_dir,
            environment={"GREETING": "hello"},
            pid=pid,
            clock=SystemClock(),
            on_change=self.states.append,
            tell=self.told.append,
            backoff=QUICK,
            hurry=self.hurry,
        )
        return Supervisor(surroundings)

    def log(self, replica: str) -> str:
        """What a replica wrote."""
        path = self.log_dir / f"{replica}.log"
        return path.read_text() if path.exists() else ""

    def wrote(self, replica: str, text: str) -> Callable[[], bool]:
        """Whether a replica wrote a text."""
        return lambda: text in self.log(replica)
