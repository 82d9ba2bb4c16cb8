"""The programs that are connected to this gateway."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import Counter, Gauge

from services.gateway.domain.socket_messages import Acknowledgement, Hello, SocketEvent, event_text

MOST_UNSENT = 1_000
CONNECTIONS = Gauge("chronos_gateway_sockets", "Programs that are connected.", ["kind"])
EVENTS = Counter("chronos_gateway_socket_event", "Events for connected clients.", ["outcome"])
COPIES = Counter("chronos_gateway_socket_copy", "Copies for tag listeners.", ["outcome"])


class Outcome(StrEnum):
    """What became of an event."""

    ACKNOWLEDGED = "acknowledged"
    NOT_CONNECTED = "not_connected"
    DISCONNECTED = "disconnected"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of an event, and what the client said."""

    outcome: Outcome
    note: str = ""


class Connection:
    """One program's end: what it is to be sent, and which of that it has not acknowledged."""

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.unsent: asyncio.Queue[str] = asyncio.Queue(MOST_UNSENT)
        self._awaited: dict[str, asyncio.Future[Delivered]] = {}
        self._is_open = True

    @property
    def kind(self) -> str:
        """`client` or `listener`."""
        return "client" if self.hello.client_name else "listener"

    @property
    def has_room(self) -> bool:
        """Whether it takes what it is sent."""
        return self._is_open and not self.unsent.full()

    def send(self, text: str) -> None:
        """Queues a text. Only while it has room."""
        self.unsent.put_nowait(text)

    def answer(self, text: str) -> None:
        """Queues an answer to what the program said; one that does not read its answers gets none."""
        if self.has_room:
            self.send(text)

    async def deliver(self, event: SocketEvent) -> Delivered:
        """Sends an event and waits for the acknowledgement. The same one again waits for the same acknowledgement."""
        awaited = self._awaited.get(event.occurrence_id)
        if awaited is None:
            awaited = self._awaited[event.occurrence_id] = asyncio.get_running_loop().create_future()
            awaited.add_done_callback(lambda _: self._awaited.pop(event.occurrence_id, None))
            self.send(event_text(event))
        return await asyncio.shield(awaited)

    def give_up(self, event: SocketEvent) -> None:
        """Nobody waits for the acknowledgement of an event any more."""
        self._end(self._awaited.get(event.occurrence_id))

    def acknowledged(self, acknowledgement: Acknowledgement) -> bool:
        """The program has said what it makes of an event; False when none such waits for that."""
        awaited = self._awaited.get(acknowledgement.occurrence_id)
        if awaited is None or awaited.done():
            return False
        outcome = Outcome.ACKNOWLEDGED if acknowledgement.is_accepted else Outcome.REJECTED
        awaited.set_result(Delivered(outcome=outcome, note=acknowledgement.note))
        return True

    def close(self) -> None:
        """The program is gone."""
        self._is_open = False
        for awaited in list(self._awaited.values()):
            self._end(awaited)

    def _end(self, awaited: "asyncio.Future[Delivered] | None") -> None:
        if awaited is not None and not awaited.done():
            awaited.set_result(Delivered(outcome=Outcome.DISCONNECTED))


class Sockets:
    """Who is connected here: clients by namespace and name, listeners by namespace."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str], OrderedDict[Connection, None]] = {}
        self._listeners: dict[str, dict[Connection, None]] = {}

    def add(self, connection: Connection) -> None:
        """A program has connected."""
        hello = connection.hello
        if hello.client_name:
            self._clients.setdefault((hello.namespace, hello.client_name), OrderedDict())[connection] = None
        else:
            self._listeners.setdefault(hello.namespace, {})[connection] = None
        CONNECTIONS.labels(connection.kind).inc()

    def remove(self, connection: Connection) -> None:
        """A program is gone: what it has not acknowledged failed."""
        hello = connection.hello
        if hello.client_name:
            key = (hello.namespace, hello.client_name)
            self._clients[key].pop(connection, None)
            if not self._clients[key]:
                del self._clients[key]
        else:
            self._listeners[hello.namespace].pop(connection, None)
            if not self._listeners[hello.namespace]:
                del self._listeners[hello.namespace]
        CONNECTIONS.labels(connection.kind).dec()
        connection.close()

    async def deliver(self, client_name: str, event: SocketEvent) -> Delivered:
        """Sends an event to the connection of a client whose turn it is, and waits for what it says."""
        connection = self._next(event.namespace, client_name)
        if connection is None:
            delivered = Delivered(outcome=Outcome.NOT_CONNECTED)
        else:
            try:
                delivered = await connection.deliver(event)
            except asyncio.CancelledError:
                connection.give_up(event)
                raise
        EVENTS.labels(delivered.outcome.value).inc()
        return delivered

    def copy(self, event: SocketEvent) -> int:
        """Sends copies to those who listen to one of the event's tags; gives their number. A slow one gets none."""
        text, tags, copies = event_text(event), frozenset(event.tags), 0
        for connection in self._listeners.get(event.namespace, ()):
            if tags.isdisjoint(connection.hello.tags):
                continue
            if connection.has_room:
                connection.send(text)
                copies += 1
            COPIES.labels("sent" if connection.has_room else "dropped").inc()
        return copies

    def all(self) -> Iterable[Connection]:
        """Everybody who is connected."""
        clients = [connection for connections in self._clients.values() for connection in connections]
        return clients + [connection for connections in self._listeners.values() for connection in connections]

    def _next(self, namespace: str, client_name: str) -> Connection | None:
        connections = self._clients.get((namespace, client_name))
        for connection in list(connections or ()):
            if connections is not None and connection.has_room:
                connections.move_to_end(connection)
                return connection
        return None
