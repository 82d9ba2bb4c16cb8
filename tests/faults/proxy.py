"""A TCP proxy in front of one address, that does to each connection what the rules say about its two ends."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from tests.faults.dialers import OUTSIDE, Dialers, likely_dialers
from tests.faults.links import Mode, Rule, Rules

MOST_QUEUED_BYTES = 256 * 1024
PATIENCE_WITH_STRANGERS = (0.02, 0.05, 0.1)
"""Seconds between looks for a process that is too young for `mesh.json`."""
EOF = b""


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What all proxies share, and what they count."""

    dialers: Dialers
    rules: Rules = field(default_factory=Rules)
    connections: set["Connection"] = field(default_factory=set)
    accepted: int = 0
    strangers: int = 0
    passed_bytes: int = 0

    def obey(self, rules: Rules) -> None:
        """Puts other rules in force, also for what is connected already."""
        self.rules = rules
        for connection in list(self.connections):
            connection.obey()


class End(asyncio.Protocol):
    """One end of a connection. What comes in here leaves at the other end, as the rules for that direction allow."""

    def __init__(self, on_made: "Callable[[End], None] | None" = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self.rule: Rule | None = None
        self.passed = 0
        self.connection: Connection | None = None
        self._on_made = on_made
        self._holds: set[str] = set()
        self._early: list[bytes] = []
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued_bytes = 0
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        self.passed += len(data)
        self._take(data)

    def eof_received(self) -> bool:
        self._take(EOF)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._tell_loss()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.hold("full", True)

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.hold("full", False)

    def hold(self, why: str, is_held: bool) -> None:
        """Reads nothing as long as there is a reason."""
        before = bool(self._holds)
        (self._holds.add if is_held else self._holds.discard)(why)
        if self.transport is None or self.transport.is_closing() or before == bool(self._holds):
            return
        if self._holds:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def obey(self, rule: Rule | None) -> None:
        """Puts a rule in force for what comes in here."""
        self.rule = rule
        is_cut = rule is not None and rule.mode is Mode.CUT
        self.hold("cut", is_cut)
        if not is_cut:
            self._tell_loss()

    def join(self, other: "End", connection: "Connection") -> None:
        """Passes on what came before there was another end, and all that follows."""
        self.other, self.connection = other, connection
        early, self._early = self._early, []
        for part in early:
            self._take(part)

    def abort(self) -> None:
        """Breaks the connection at this end."""
        if self.transport is not None:
            self.transport.abort()

    def _tell_loss(self) -> None:
        if not self._is_lost or (self.rule is not None and self.rule.mode is Mode.CUT):
            return
        if self.connection is not None:
            self.connection.end()
        if self.other is not None and self.other.transport is not None and not self._queue:
            self.other.transport.close()

    def _take(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        elif (self.rule is None or (self.rule.mode is not Mode.SLOW)) and not self._queue:
            self._emit(data)
        else:
            self._delay(data)

    def _emit(self, data: bytes) -> None:
        target = self.other.transport if self.other is not None else None
        if target is None or target.is_closing():
            return
        if data:
            target.write(data)
        elif target.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                target.write_eof()

    def _delay(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        earliest = self._queue[-1][0] if self._queue else 0.0
        due = max(loop.time(), earliest)
        if self.rule is not None:
            pause = self.rule.delay_ms + random.uniform(0, self.rule.jitter_ms)
            due = max(loop.time() + pause / 1000, earliest)
            if self.rule.bytes_per_second:
                due += len(data) / self.rule.bytes_per_second
        self._queue.append((due, data))
        self._queued_bytes += len(data)
        self.hold("queue", self._queued_bytes > MOST_QUEUED_BYTES)
        loop.call_at(due, self._release)

    def _release(self) -> None:
        _, data = self._queue.popleft()
        self._queued_bytes -= len(data)
        self.hold("queue", self._queued_bytes > MOST_QUEUED_BYTES)
        self._emit(data)
        if not self._queue:
            self._tell_loss()


class Connection:
    """Two ends, and the names of the nodes behind them."""

    def __init__(self, traffic: Traffic, near: End, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self._traffic = traffic
        self._near = near
        self._far: End | None = None
        self._is_free = asyncio.Event()
        traffic.connections.add(self)
        self.obey()

    async def join(self, host: str, port: int) -> None:
        """Dials the target once nothing is cut between the two, as a connection needs both directions."""
        try:
            await self._is_free.wait()
            loop = asyncio.get_running_loop()
            _, far = await loop.create_connection(End, host, port)
        except OSError:
            self._near.abort()
            self.end()
            return
        self._far = far
        self._near.join(far, self)
        far.join(self._near, self)
        self.obey()
        self._near.hold("joining", False)
        if self._near.transport is None or self._near.transport.is_closing():
            far.abort()

    def obey(self) -> None:
        """Applies the rules in force."""
        rules = self._traffic.rules
        if rules.is_reset(self.source, self.target):
            self._near.abort()
            if self._far is not None:
                self._far.abort()
            self._is_free.set()
            return
        if not (rules.is_cut(self.source, self.target) or rules.is_cut(self.target, self.source)):
            self._is_free.set()
        self._near.obey(rules.of(self.source, self.target))
        if self._far is not None:
            self._far.obey(rules.of(self.target, self.source))

    def end(self) -> None:
        """Counts, and forgets."""
        if self in self._traffic.connections:
            self._traffic.connections.discard(self)
            self._traffic.passed_bytes += self._near.passed + (self._far.passed if self._far else 0)


class Proxy:
    """Listens on a port of its own and passes on to one address. `link` is NODE/USE."""

    def __init__(self, traffic: Traffic, link: str, host: str, port: int, tasks: asyncio.TaskGroup) -> None:
        self._traffic = traffic
        self._target = link.partition("/")[0]
        self._likely = likely_dialers(link)
        self._host = host
        self._port = port
        self._tasks = tasks
        self.listens_on = 0

    async def start(self) -> None:
        """Listens from now on."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: End(self._accept), "127.0.0.1", 0, backlog=512)
        self.listens_on = int(server.sockets[0].getsockname()[1])

    def _accept(self, near: End) -> None:
        self._tasks.create_task(self._serve(near))

    async def _serve(self, near: End) -> None:
        assert near.transport is not None
        near.hold("joining", True)
        dialed_from = int(near.transport.get_extra_info("peername")[1])
        source = self._traffic.dialers.name_of(dialed_from, self.listens_on, self._likely)
        for pause in PATIENCE_WITH_STRANGERS:
            if source != OUTSIDE or near.transport.is_closing():
                break
            await asyncio.sleep(pause)
            source = self._traffic.dialers.name_of(dialed_from, self.listens_on, self._likely)
        self._traffic.accepted += 1
        self._traffic.strangers += source == OUTSIDE
        await Connection(self._traffic, near, source, self._target).join(self._host, self._port)
