"""How a connection comes to be: a knock, an answer, and what may happen in between."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field

from tests.simulation.connections import Connection, Socket
from tests.simulation.links import Link

Accept = Callable[[Socket], None]


def _new_future() -> "asyncio.Future[Socket]":
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt of a client to connect to `address`.

    `listeners` are those of the whole network by address, `refuse` sends a message to the client, `join` makes a
    connection. A dead server's machine still answers, so a knock arrives outside of all nodes, in `outside`.
    """

    address: str
    forth: Link
    listeners: dict[str, Accept]
    refuse: Callable[[Callable[[], None]], None]
    join: Callable[[], Connection]
    outside: Context
    counters: Counter[str]
    answer: "asyncio.Future[Socket]" = field(default_factory=_new_future)
    _incarnation: int = 0

    def begin(self) -> None:
        """Knocks; gets lost when the path is cut."""
        self._incarnation = self.forth.src.incarnation
        if not self.forth.is_cut:
            loop = asyncio.get_running_loop()
            loop.call_at(self.forth.arrival(loop.time()), self._knock, context=self.outside)

    def give_up(self) -> None:
        """The client does not wait any more; a connection that was just made is closed."""
        if self.answer.done() and not self.answer.cancelled() and self.answer.exception() is None:
            self.answer.result().abort()

    def _knock(self) -> None:
        if self.forth.is_cut:
            return
        server = self.forth.dst
        if server.is_alive and self.address in self.listeners:
            asyncio.get_running_loop().call_soon(self._accept, context=server.context)
        else:
            self.counters["refused"] += 1
            self.refuse(self._refused)

    def _accept(self) -> None:
        accept = self.listeners.get(self.address)
        if accept is None or self.forth.src.incarnation != self._incarnation:
            return
        self.counters["connections"] += 1
        connection = self.join()
        connection.client.on_message = lambda _: self._opened(connection.client)
        connection.link_changed()
        connection.server.send(None)
        accept(connection.server)

    def _opened(self, socket: Socket) -> None:
        if self.answer.done():
            socket.abort()
        else:
            self.answer.set_result(socket)

    def _refused(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionRefusedError(f"nobody listens on {self.address}"))
