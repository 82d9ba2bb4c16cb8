"""Connections over a simulated network: bytes in order or not at all, and a keep-alive that finds a dead peer."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.simulation.links import Host, Link, Span

RETRANSMISSION_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class End:
    """The last thing in a pipe: the peer closed the connection, or is gone."""

    reason: str


class Pipe:
    """One direction of a connection: in order, nothing lost, nothing twice; it waits while the link is cut."""

    __slots__ = ("_is_shut", "_last", "_link", "_queue", "_timer", "receive")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._queue: deque[tuple[float, object]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        self._is_shut = False
        self.receive: Callable[[object], None] = _ignore

    def push(self, item: object) -> None:
        """Sends one thing."""
        if self._is_shut:
            return
        link = self._link
        loop = asyncio.get_running_loop()
        due = link.arrival(loop.time())
        if link.loss and link.is_losing():
            due += RETRANSMISSION_SECONDS
        if due < self._last:
            due = self._last
        self._last = due
        self._queue.append((due, item))
        if self._timer is None and not link.is_cut:
            self._arm(loop)

    @property
    def arrived(self) -> int:
        """How many things lie at a receiver that is paused."""
        if self._link.is_cut:
            return 0
        now = asyncio.get_running_loop().time()
        return sum(due <= now for due, _ in self._queue)

    def drop(self, kept: int = 0) -> None:
        """Loses what is on its way, except the oldest `kept`."""
        while len(self._queue) > kept:
            self._queue.pop()
        if not self._queue and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def shut(self) -> None:
        """Loses what is on its way, and all that is sent later."""
        self._is_shut = True
        self.receive = _ignore
        self.drop()

    def __len__(self) -> int:
        return len(self._queue)

    def link_changed(self) -> None:
        """Sends again what waited for the link."""
        if self._timer is not None or self._link.is_cut or not self._queue:
            return
        loop = asyncio.get_running_loop()
        soonest = self._link.arrival(loop.time())
        self._queue = deque((max(due, soonest), item) for due, item in self._queue)
        self._last = max(self._last, soonest)
        self._arm(loop)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_at(self._queue[0][0], self._arrive, context=self._link.dst.context)

    def _arrive(self) -> None:
        self._timer = None
        if self._link.is_cut:
            return
        loop = asyncio.get_running_loop()
        now = max(loop.time(), self._queue[0][0])
        while self._queue and self._queue[0][0] <= now:
            self.receive(self._queue.popleft()[1])
        if self._queue and self._timer is None:
            self._arm(loop)


class Socket:
    """One end of a connection.

    `on_message` gets what the peer sends, in order. `on_broken` is called once, with the reason, when the connection
    ends for any reason but a `close` or `abort` of this end. Both run in the context of the end's node. `on_end` is for
    the network: it is called whenever this end knows that the connection ended.
    """

    def __init__(self, host: Host, peer: Host, outgoing: Pipe, incoming: Pipe) -> None:
        self.host: Final = host
        self.peer: Final = peer
        self.is_open = True
        self.on_message: Callable[[object], None] = _ignore
        self.on_broken: Callable[[str], None] = _ignore
        self.on_end: Callable[[], None] = _nothing
        self._outgoing = outgoing
        self._incoming = incoming
        self._timer: asyncio.TimerHandle | None = None
        incoming.receive = self._take

    def send(self, message: object) -> None:
        """Sends a message; it is lost when the connection breaks before it arrives, or is broken already."""
        if self.is_open:
            self._outgoing.push(message)

    def close(self) -> None:
        """Ends the connection; what was sent before still arrives."""
        if self.is_open:
            self._end()
            self._outgoing.push(End("the peer closed the connection"))

    def abort(self) -> None:
        """Ends the connection; what is on its way is lost. A peer that is paused still finds what reached it before."""
        if self.is_open:
            self._outgoing.drop(self._outgoing.arrived)
            self.close()

    def die(self, dice: random.Random) -> None:
        """The node was killed: some of what it sent last never leaves, and its kernel resets the connection."""
        if self.is_open:
            self._end()
            self._outgoing.drop(dice.randint(self._outgoing.arrived, len(self._outgoing)))
            self._outgoing.push(End("the peer reset the connection"))

    def watch(self, is_silent: bool, dice: random.Random, break_after: Span) -> None:
        """Starts or stops the time after which a silent peer counts as gone."""
        if not is_silent or not self.is_open:
            self._stop_watching()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(
                dice.uniform(*break_after), self._expire, context=self.host.context
            )

    def _expire(self) -> None:
        self._timer = None
        self.abort()
        self.on_broken("the peer did not answer a keep-alive in time")

    def _take(self, item: object) -> None:
        if not isinstance(item, End):
            self.on_message(item)
            return
        self._end()
        self.on_broken(item.reason)

    def _end(self) -> None:
        self.is_open = False
        self._incoming.shut()
        self._stop_watching()
        self.on_end()

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connection:
    """Two sockets and the pipes between them, client first."""

    def __init__(self, forth: Link, back: Link, dice: random.Random, break_after: Span) -> None:
        self._forth, self._back = forth, back
        self._dice = dice
        self._break_after = break_after
        self._pipes = Pipe(forth), Pipe(back)
        there, here = self._pipes
        self.client: Final = Socket(forth.src, forth.dst, there, here)
        self.server: Final = Socket(forth.dst, forth.src, here, there)
        self.client.on_end = self.server.on_end = self._forget_when_over
        forth.src.passages[self] = forth.dst.passages[self] = None

    def link_changed(self) -> None:
        """See Passage."""
        is_cut = self._forth.is_cut or self._back.is_cut
        for pipe in self._pipes:
            pipe.link_changed()
        for socket in (self.client, self.server):
            socket.watch(is_cut or socket.peer.is_paused, self._dice, self._break_after)

    def host_killed(self, host: Host) -> None:
        """One of the nodes was killed."""
        (self.client if host is self._forth.src else self.server).die(self._dice)

    def _forget_when_over(self) -> None:
        if self.client.is_open or self.server.is_open:
            return
        self._forth.src.passages.pop(self, None)
        self._forth.dst.passages.pop(self, None)


def _ignore(_: object) -> None:
    """Nobody listens."""


def _nothing() -> None:
    """Nobody cares."""
