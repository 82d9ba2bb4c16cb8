"""How a person or a system stops `chronos`."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """`wanted` is set by the first signal, `hurry` by the second."""

    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Stopping]:
    """Turns SIGINT, SIGTERM and SIGHUP into events. Needs the running loop of the main thread."""
    loop = asyncio.get_running_loop()
    stopping = Stopping()

    def on_signal() -> None:
        (stopping.hurry if stopping.wanted.is_set() else stopping.wanted).set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stopping
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
