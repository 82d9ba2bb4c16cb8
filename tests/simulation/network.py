"""A simulated network between simulated nodes: delays, losses, partitions, deaths; the same dice give the same fate.

Everything that arrives at a node runs in a context of that node, so that a loop which knows its nodes can hold it back.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.simulation.connecting import Accept, Attempt
from tests.simulation.connections import Connection, Socket
from tests.simulation.links import ContextOf, Host, Link, Span
from tests.simulation.loop import context_of as loop_context_of

__all__ = ["Accept", "Conditions", "Network", "Socket", "Span"]

HARNESS = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a network is like, in seconds.

    A connection breaks some time in `break_after` after its peer fell silent: gRPC pings every 10 s and waits for 5 s.
    """

    delay: Span = (0.0002, 0.002)
    loss: float = 0.0
    break_after: Span = (5.0, 15.0)


class Network:
    """Nodes are known by name and exist from their first use; they are alive until `kill`."""

    def __init__(
        self,
        dice: random.Random,
        conditions: Conditions | None = None,
        *,
        trace: Callable[[str], None] | None = None,
        context_of: ContextOf = loop_context_of,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._dice = dice
        self._conditions = conditions or Conditions()
        self._trace = trace
        self._context_of = context_of
        self._hosts: dict[str, Host] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._homes: dict[str, Host] = {}
        self._listeners: dict[str, Accept] = {}
        self._harness = context_of(HARNESS)

    # Messages

    def send(self, src: str, dst: str, deliver: Callable[[], None], *, may_duplicate: bool = False) -> None:
        """Calls `deliver` at `dst` after the link's delay; a later message may overtake it.

        Lost when the link is cut now or then, by chance, or when `dst` is dead or another incarnation by then. With
        `may_duplicate` it may arrive twice where the link loses messages.
        """
        link = self.link(src, dst)
        self._send(link, deliver)
        if may_duplicate and link.is_losing():
            self.counters["duplicated"] += 1
            self._send(link, deliver)

    def _send(self, link: Link, deliver: Callable[[], None]) -> None:
        self.counters["messages"] += 1
        if link.is_cut or not link.dst.is_alive or link.is_losing():
            self.counters["lost"] += 1
            return
        loop = asyncio.get_running_loop()
        incarnation = link.dst.incarnation

        def arrive() -> None:
            if link.is_cut or link.dst.incarnation != incarnation:
                self.counters["lost"] += 1
            else:
                deliver()

        loop.call_at(link.arrival(loop.time()), arrive, context=link.dst.context)

    # Connections

    def listen(self, node: str, address: str, accept: Accept) -> None:
        """Takes connections to `address`; `accept` gets the server's end of each. Raises OSError when it is taken."""
        if address in self._listeners:
            raise OSError(f"{address} is taken")
        self._homes[address] = self._host(node)
        self._listeners[address] = accept

    def unlisten(self, address: str) -> None:
        """Refuses new connections to `address`; those that are open stay."""
        self._listeners.pop(address, None)

    async def connect(self, src: str, address: str) -> Socket:
        """The client's end of a new connection. Waits for ever when the path is cut: bound it with a timeout.

        The server must not send before the client did. Raises ConnectionRefusedError when nobody listens there.
        """
        home = self._homes.get(address)
        if home is None:
            raise ConnectionRefusedError(f"nobody ever listened on {address}")
        server = home.name
        forth, back = self.link(src, server), self.link(server, src)
        attempt = Attempt(
            address=address,
            forth=forth,
            listeners=self._listeners,
            refuse=lambda tell: self.send(server, src, tell),
            join=lambda: Connection(forth, back, self._dice, self._conditions.break_after),
            outside=self._harness,
            counters=self.counters,
        )
        attempt.begin()
        try:
            return await attempt.answer
        except asyncio.CancelledError:
            attempt.give_up()
            raise

    # What goes wrong

    def cut(self, a: str, b: str, *, is_one_way: bool = False) -> None:
        """Nothing passes between the nodes, or only nothing from `a` to `b`."""
        self._set_cut(a, b, is_cut=True, is_one_way=is_one_way)

    def heal(self, a: str, b: str, *, is_one_way: bool = False) -> None:
        """Undoes `cut`."""
        self._set_cut(a, b, is_cut=False, is_one_way=is_one_way)

    def partition(self, group: Iterable[str], others: Iterable[str], *, is_one_way: bool = False) -> None:
        """Cuts every node of one group from every node of the other."""
        far = list(others)
        for a in group:
            for b in far:
                self.cut(a, b, is_one_way=is_one_way)

    def heal_all(self) -> None:
        """Undoes every cut, slowness, loss and stall. Nodes that are dead or paused stay so."""
        for (a, b), link in list(self._links.items()):
            link.extra = link.held_until = 0.0
            link.loss = self._conditions.loss
            if link.is_cut:
                self.heal(a, b, is_one_way=True)

    def slow(self, a: str, b: str, extra: float) -> None:
        """Makes what is sent from now on between the nodes take `extra` seconds longer, each way; 0 undoes it."""
        self._note(f"slow {a} {b} {extra:.3f}")
        for link in self._both(a, b):
            link.extra = extra

    def lose(self, a: str, b: str, loss: float) -> None:
        """Makes messages between the nodes get lost with this chance; connections become slower."""
        self._note(f"lose {a} {b} {loss:.3f}")
        for link in self._both(a, b):
            link.loss = loss

    def stall(self, a: str, b: str, seconds: float) -> None:
        """Holds back for so long what is sent from now on between the nodes."""
        self._note(f"stall {a} {b} {seconds:.3f}")
        for link in self._both(a, b):
            link.stall(seconds)

    def kill(self, node: str) -> None:
        """Ends a node as SIGKILL does: peers see a reset where the path is open, else their keep-alive ends."""
        self._note(f"kill {node}")
        self._end(self._host(node))

    def start(self, node: str) -> None:
        """Begins an incarnation of a node: after the loop has given it a new life, before it sends or listens.

        Whatever the one before left open is reset.
        """
        self._note(f"start {node}")
        host = self._host(node)
        if host.is_alive:
            self._end(host)
        host.start()

    def pause(self, node: str) -> None:
        """The node answers no keep-alive. Its callbacks are the loop's to hold back."""
        self._set_paused(node, is_paused=True)

    def resume(self, node: str) -> None:
        """Undoes `pause`."""
        self._set_paused(node, is_paused=False)

    # Inside

    def link(self, src: str, dst: str) -> Link:
        """The direction from `src` to `dst`."""
        found = self._links.get((src, dst))
        if found is None:
            conditions = self._conditions
            found = self._links[src, dst] = Link(
                self._host(src), self._host(dst), self._dice, conditions.delay, conditions.loss
            )
        return found

    def _both(self, a: str, b: str) -> Iterator[Link]:
        yield self.link(a, b)
        yield self.link(b, a)

    def _host(self, name: str) -> Host:
        found = self._hosts.get(name)
        if found is None:
            found = self._hosts[name] = Host(name, self._context_of)
        return found

    def _end(self, host: Host) -> None:
        host.kill()
        for address in [each for each, home in self._homes.items() if home is host]:
            self.unlisten(address)
        for passage in list(host.passages):
            passage.host_killed(host)

    def _set_cut(self, a: str, b: str, *, is_cut: bool, is_one_way: bool) -> None:
        self._note(f"{'cut' if is_cut else 'heal'} {a} {'->' if is_one_way else '<->'} {b}")
        self.link(a, b).is_cut = is_cut
        if not is_one_way:
            self.link(b, a).is_cut = is_cut
        other = self._host(b)
        for passage in list(self._host(a).passages):
            if passage in other.passages:
                passage.link_changed()

    def _set_paused(self, node: str, *, is_paused: bool) -> None:
        self._note(f"{'pause' if is_paused else 'resume'} {node}")
        host = self._host(node)
        host.is_paused = is_paused
        for passage in list(host.passages):
            passage.link_changed()

    def _note(self, event: str) -> None:
        self.counters[event.partition(" ")[0]] += 1
        if self._trace is not None:
            self._trace(event)
