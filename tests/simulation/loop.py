"""An event loop whose time is virtual and whose processes can be paused and killed.

Nothing waits: when no callback is ready, the time jumps to the next timer. Everything runs in one thread, in an order
that depends on nothing outside: a run can be repeated exactly.
"""

import asyncio
import heapq
from asyncio import BaseEventLoop, Handle, Task, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")
Callback = Callable[..., object]


@dataclass(slots=True, eq=False)
class Life:
    """One process of a simulated node, from its start to its end."""

    node: str
    is_killed: bool = False
    is_paused: bool = False
    parked: list[Handle] = field(default_factory=list)
    tasks: "list[Task[Any]]" = field(default_factory=list)


HARNESS = Life("")
NODE: ContextVar[str] = ContextVar("NODE", default="")
"""Name of the node that runs now; empty for the world around the nodes."""
LIFE: ContextVar[Life] = ContextVar("LIFE", default=HARNESS)
MOST_FINISHED_TASKS = 4_096
TURN_SECONDS = 1e-6
"""Each turn of the loop takes a little: who asks again and again without waiting sees the time go by."""

_lives: dict[str, Life] = {}
# Lives that are over are kept: collecting their coroutines would run their `finally` blocks.
_past_lives: list[Life] = []
_task_numbers = count(1)


class OutOfEventsError(Exception):
    """Nothing is ready and no timer is set: the simulation can never go on."""


class NumberedTask(Task[Any]):
    """A task whose hash does not depend on where it lies in memory: sets of tasks keep one order in every run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(_task_numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(BaseEventLoop):
    """Drives one simulated world. Its time starts at 0 and is in seconds."""

    # Of BaseEventLoop, whose handles have a `_context`.
    _ready: "deque[Any]"
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._timer_numbers = count()
        self.steps = 0
        """Callbacks that ran."""
        self.set_task_factory(_make_task)
        self.set_exception_handler(lambda loop, context: self.on_error(context))
        self.errors: list[str] = []
        """What went wrong in callbacks and in tasks that nobody waited for."""

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def on_error(self, context: dict[str, Any]) -> None:
        """Remembers an error that nobody else would see."""
        error = context.get("exception")
        self.errors.append(f"{context.get('message')}: {error!r}")

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """See asyncio. Timers of one moment go off in the order in which they were set."""
        timer = TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        return timer

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callback, *args: Any
    ) -> asyncio.Future[Any]:
        """Runs at once: threads would bring an order of their own."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
            future.set_exception(error)
        return future

    def kill(self, life: Life) -> None:
        """Nothing of the process runs ever again: no `finally`, no last word."""
        life.is_killed = True
        life.parked.clear()

    def pause(self, life: Life) -> None:
        """As SIGSTOP does: what becomes due waits."""
        life.is_paused = True

    def resume(self, life: Life) -> None:
        """As SIGCONT does: everything that waited is due at once, in its order."""
        life.is_paused = False
        parked, life.parked = life.parked, []
        self._ready.extend(parked)

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready and not self._stopping:
            while timers and timers[0][2]._cancelled:
                heapq.heappop(timers)
            if not timers:
                raise OutOfEventsError("nothing is ready, and no timer is set")
            self._now = max(self._now, timers[0][0])
        self._now += TURN_SECONDS
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            if not timer._cancelled:
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            life = handle._context.get(LIFE, HARNESS)
            if life.is_killed:
                continue
            if life.is_paused:
                life.parked.append(handle)
                continue
            self.steps += 1
            handle._run()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no files and sockets here."""

    def _write_to_self(self) -> None:
        """There are no other threads here."""


def new_life(node: str) -> Life:
    """Starts a process of a node. The one before must have ended."""
    life = Life(node)
    _past_lives.append(life)
    _lives[node] = life
    return life


def life_of(node: str) -> Life:
    """The latest process of a node; that of the world around for a name that never was a process."""
    return _lives.get(node, HARNESS)


def context_of(node: str) -> Context:
    """A fresh context for code of the node's present process."""
    context = Context()
    context.run(NODE.set, node)
    context.run(LIFE.set, life_of(node))
    return context


def start_task(node: str, coroutine: Coroutine[Any, Any, T], name: str = "") -> Task[T]:
    """Runs a coroutine as part of a node's present process."""
    loop = asyncio.get_running_loop()
    return loop.create_task(coroutine, name=name or None, context=context_of(node))


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context | None = None) -> Task[Any]:
    task = NumberedTask(coroutine, loop=loop, context=context)
    life = context.get(LIFE, HARNESS) if context is not None else LIFE.get()
    # A task of a process that was killed must not be collected: that would run its `finally` blocks.
    life.tasks.append(task)
    if len(life.tasks) > MOST_FINISHED_TASKS and not len(life.tasks) % MOST_FINISHED_TASKS:
        life.tasks[:] = [one for one in life.tasks if not one.done()]
    return task
