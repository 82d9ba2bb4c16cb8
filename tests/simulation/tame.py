"""Takes out of a process what would make two runs of one seed differ, and listens to its logs."""

import asyncio
import logging
import os
import random
import sys
from collections.abc import Callable
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from libs import process
from libs.log import describe_errors
from tests.simulation.loop import NODE, SimLoop

Tell = Callable[[str], None]


class _NoCollector:
    """What services ask of the garbage collector at their start: here it is off."""

    def collect(self) -> int:
        return 0

    def freeze(self) -> None:
        return


class _Ordered(dict[Any, None]):
    """A set in the order of addition. Sets of objects have the order of their addresses, which is another each time."""

    def add(self, item: object) -> None:
        self[item] = None

    def discard(self, item: object) -> None:
        self.pop(item, None)


class Errors:
    """Exceptions that a service logged as errors: none happens while it is well, whatever is broken around it."""

    def __init__(self) -> None:
        self.lines: list[str] = []


def tame(seed: int) -> None:
    """Every source of randomness follows from the seed. Affects the whole process."""
    random.seed(f"world {seed}")
    os.urandom = random.randbytes
    random._urandom = random.randbytes  # type: ignore[attr-defined]
    vars(process)["gc"] = _NoCollector()
    vars(asyncio.taskgroups)["set"] = _Ordered  # a group cancels its tasks in the order of its set


def listen(loop: SimLoop, tell: Tell | None = None) -> Errors:
    """Collects errors from the logs of all nodes; `tell` gets every line, with its node and virtual time."""
    errors = Errors()
    logging.disable(logging.CRITICAL)

    def render(logger: WrappedLogger, level: str, event: EventDict) -> str:
        del logger
        fields = " ".join(f"{key}={value}" for key, value in event.items() if key != "event")
        line = f"{loop.time():12.4f} {NODE.get():<14} {level:<7} {event['event']} {fields}"
        if level == "error" and "errors" in event:
            errors.lines.append(line)
        if tell is not None:
            tell(line)
        raise structlog.DropEvent

    structlog.configure(
        processors=[describe_errors, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if tell else logging.ERROR),
        cache_logger_on_first_use=True,
    )
    return errors


def to_stderr(line: str) -> None:
    """A line for the person who watches."""
    sys.stderr.write(line + "\n")
