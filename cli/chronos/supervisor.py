"""Keeps processes running, and ends them in order."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cli.chronos.backoff import Backoff
from cli.chronos.child_log import open_log
from cli.chronos.processes import start_mark
from cli.chronos.state import ProcessState
from cli.chronos.topology import ProcessSpec
from cli.chronos.waiting import first_of
from libs.clock import Clock

WRAPPER = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all children of a supervisor share.

    `pid` is the supervisor's: the children die with it. `on_change` gets a child's state after each of its starts and
    ends; `tell` gets a line for the person who watches. Once `hurry` is set, stopping does not wait any more.
    """

    log_dir: Path
    environment: Mapping[str, str] = field(repr=False)
    pid: int
    clock: Clock
    on_change: Callable[[ProcessState], None]
    tell: Callable[[str], None]
    backoff: Backoff = field(default_factory=Backoff)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


class Child:
    """One process that is started again whenever it ends, until it is stopped."""

    def __init__(self, spec: ProcessSpec, surroundings: Surroundings) -> None:
        self.spec = spec
        self.restarts = 0
        self.last_end = ""
        self._around = surroundings
        self._process: Process | None = None
        self._mark: str | None = None
        self._started_at: str | None = None
        self._is_unwanted = asyncio.Event()
        self.is_over = asyncio.Event()

    @property
    def state(self) -> ProcessState:
        """What `mesh.json` says about it."""
        return ProcessState(
            name=self.spec.name,
            replica=self.spec.replica,
            pid=self._process.pid if self._process else None,
            mark=self._mark,
            ports=self.spec.ports,
            restarts=self.restarts,
            started_at=self._started_at,
            probe=self.spec.probe,
        )

    async def keep(self) -> None:
        """Runs the process until `stop`, again and again."""
        pause: timedelta | None = None
        while not self._is_unwanted.is_set():
            began = self._around.clock.monotonic()
            await self._run_once()
            if self._is_unwanted.is_set():
                return
            ran_for = timedelta(seconds=self._around.clock.monotonic() - began)
            pause = self._around.backoff.pause(pause, ran_for=ran_for)
            shown = f"{self.spec.replica} ended ({self.last_end}); starts again in {pause.total_seconds():g} s"
            self._around.tell(shown)
            await first_of(self._around.clock.sleep(pause), self._is_unwanted.wait())
            self.restarts += 1

    async def stop(self, *, patience: timedelta) -> None:
        """Asks the process to end; after `patience`, or once there is a hurry, the kernel ends it."""
        self._is_unwanted.set()
        if self._process is not None:
            _signal(self._process, signal.SIGTERM)
            try:
                async with asyncio.timeout(patience.total_seconds()):
                    await first_of(self.is_over.wait(), self._around.hurry.wait())
            except TimeoutError:
                self._around.tell(f"{self.spec.replica} did not end within {patience.total_seconds():g} s; killed")
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)
        await self.is_over.wait()

    async def _run_once(self) -> None:
        try:
            process = await self._spawn()
        except OSError as error:
            self.last_end = f"cannot start: {error.strerror}"
            return
        self._process, self._mark = process, start_mark(process.pid)
        self._started_at = self._around.clock.now().isoformat(timespec="milliseconds")
        self._around.on_change(self.state)
        try:
            if not self._is_unwanted.is_set():
                self.last_end = _ending(await process.wait())
        finally:
            if process.returncode is None:
                _signal(process, signal.SIGKILL)
                await process.wait()
            self._process = self._mark = None
            self._around.on_change(self.state)

    async def _spawn(self) -> Process:
        with open_log(self._around.log_dir, self.spec.replica) as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(WRAPPER), str(self._around.pid)),
                *self.spec.command,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._around.environment, **self.spec.env},
                start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor alone
            )


class Supervisor:
    """The children of one mesh. Use it as a context: leaving it ends, at once, every child that is left."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.children: dict[str, Child] = {}
        self._around = surroundings
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> "Supervisor":
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self.stop((), patience=timedelta(0))
        finally:
            await self._tasks.__aexit__(None, None, None)

    def start(self, spec: ProcessSpec) -> Child:
        """Starts a process and keeps it running."""
        child = self.children[spec.replica] = Child(spec, self._around)
        task = self._tasks.create_task(child.keep(), name=spec.replica)
        task.add_done_callback(lambda _: child.is_over.set())  # also when it was cancelled before it began
        return child

    async def stop(self, order: Sequence[str], *, patience: timedelta, one_by_one: Container[str] = ()) -> None:
        """Ends the children: those of one name after those of the name before; names not in `order` last.

        Children of one name end together, unless it is in `one_by_one`.
        """
        others = dict.fromkeys(child.spec.name for child in self.children.values() if child.spec.name not in order)
        for name in (*order, *others):
            children = [child for child in self.children.values() if child.spec.name == name]
            size = 1 if name in one_by_one else len(children) or 1
            for start in range(0, len(children), size):
                async with asyncio.TaskGroup() as group:
                    for child in children[start : start + size]:
                        group.create_task(child.stop(patience=patience))


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
