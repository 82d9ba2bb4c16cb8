"""A connection to a NATS server, shared by all who publish to it.

Own code, because the promise "success means that the server has taken it" needs what nats-py 2.16 does not keep: its
PING overtakes what was published before it, its `flush` succeeds without a PONG once its reading task is dead, and it
goes on in plaintext where TLS was asked for.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from services.dispatcher.adapters import nats_errors, nats_wire
from services.dispatcher.adapters.nats_wire import Event, Message, Parser, ServerError, ServerInfo, Signal
from services.dispatcher.domain.results import Failure
from services.dispatcher.domain.targets.nats_servers import Server

USUAL_MAX_PAYLOAD = 1024 * 1024
DRAIN_SECONDS = 5.0
CLOSE_SECONDS = 1.0
Outcome = Message | Failure | None


@dataclass(slots=True, eq=False)
class Publication:
    """A message on its way.

    `done` becomes None when the server has taken it, the reply where one is waited for, or a Failure. `is_taken` tells
    whether the server has confirmed all that was sent up to it.
    """

    subject: str
    reply: str
    wants_reply: bool
    done: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_taken: bool = False

    def settle(self, outcome: Outcome) -> None:
        """Tells whoever still waits."""
        if not self.done.done():
            self.done.set_result(outcome)


class NatsConnection(asyncio.Protocol):
    """Gathers what is published in one turn of the loop into one write, which ends with one PING.

    The server handles one thing after the other, so its PONG says that it has taken all before the PING, but for what
    it complained about first. It never connects again: `is_leaving` says that another connection is needed.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.is_leaving = False
        self.info: Mapping[str, Any] = {}
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = Parser()
        self._heard: deque[Event] = deque()
        self._is_greeting = True
        self._has_changed = asyncio.Event()
        self._complaint = ""
        self._lost: Exception | None = None
        self._is_lost = False
        self._chunks: list[bytes] = []
        self._unsent: list[Publication] = []
        self._sent: deque[list[Publication]] = deque()
        self._is_write_due = False
        self._is_paused = False
        self._inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._inbox_opening: Publication | None = None
        self._replies: dict[str, Publication] = {}
        self._reply_count = 0

    @property
    def max_payload(self) -> int:
        """Most bytes of a message, its headers included."""
        return int(self.info.get("max_payload") or USUAL_MAX_PAYLOAD)

    # The beginning, in which one side waits for the other.

    async def hear(self) -> Event:
        """The next thing that the server says before `begin`.

        Raises OSError or EOFError when it goes, ValueError for what is not of this protocol.
        """
        while not self._heard:
            if self._is_lost:
                raise self._lost or EOFError("closed")
            self._has_changed.clear()
            await self._has_changed.wait()
        return self._heard.popleft()

    async def secure(self, context: Any, server_name: str) -> None:
        """Goes over to TLS. Raises OSError (ssl.SSLError too), and ValueError when something was said too early."""
        assert self._transport is not None
        if not self._parser.is_empty or self._heard:
            raise ValueError("it went on speaking before TLS began")
        upgraded = await self._loop.start_tls(self._transport, self, context, server_hostname=server_name)
        if upgraded is None or self._is_lost:
            raise self._lost or EOFError("closed")
        self._transport = upgraded

    def say(self, data: bytes) -> None:
        """Sends something of the beginning."""
        assert self._transport is not None
        self._transport.write(data)

    def begin(self, info: Mapping[str, Any]) -> None:
        """The server let us in: from now on messages can be published."""
        self.info = info
        self._is_greeting = False
        while self._heard:
            self._handle(self._heard.popleft())

    # Publishing.

    async def listen(self) -> Failure | None:
        """Makes sure that replies will be heard; or why they would not be."""
        opening = self._inbox_opening
        if opening is None:
            subject = f"{self._inbox}.*"
            opening = self._inbox_opening = Publication(subject, "", wants_reply=False)
            self._put(opening, nats_wire.subscribe_line(subject, 1))
        outcome = opening.done.result() if opening.done.done() else await asyncio.shield(opening.done)
        if isinstance(outcome, Failure):
            self.is_leaving = True
            return outcome
        return None

    def publish(self, subject: str, reply: str, headers: Mapping[str, str], payload: bytes) -> Publication:
        """Puts a message on its way."""
        publication = Publication(subject, reply, wants_reply=False)
        self._put(publication, nats_wire.message_bytes(subject, reply, headers, payload))
        return publication

    def ask(self, subject: str, headers: Mapping[str, str], payload: bytes) -> Publication:
        """Puts a message on its way whose reply is waited for, after `listen`. To be followed by `forget`."""
        self._reply_count += 1
        reply = f"{self._inbox}.{self._reply_count:x}"
        publication = self._replies[reply] = Publication(subject, reply, wants_reply=True)
        self._put(publication, nats_wire.message_bytes(subject, reply, headers, payload))
        return publication

    def forget(self, publication: Publication) -> None:
        """Nobody waits for this reply any more."""
        self._replies.pop(publication.reply, None)
        self._has_changed.set()

    # The end.

    async def close(self) -> None:
        """Lets what is under way finish, within some seconds, and closes."""
        self.is_leaving = True
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._wait(lambda: not (self._unsent or self._sent or self._replies))
        if self._transport is None:
            return
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._wait(lambda: self._is_lost)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Closes at once."""
        self.is_leaving = True
        if self._transport is not None:
            self._transport.abort()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's are no asyncio.Transport, but do all that one does.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            for event in self._parser.feed(data):
                if self._is_greeting:
                    self._heard.append(event)
                else:
                    self._handle(event)
        except ValueError as error:
            self._complain(f"it does not speak NATS ({error})")
            self._lost = error
        self._has_changed.set()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._is_paused = False
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol. All who wait are told."""
        self._is_lost = self.is_leaving = True
        self._lost = self._lost or exc
        why = self._complaint or (str(exc) if exc is not None else "") or "it closed the connection"
        for publication in self._unsent:
            publication.settle(nats_errors.lost(self.server, why, is_sent=False))
        for publication in (*(one for batch in self._sent for one in batch), *self._replies.values()):
            publication.settle(nats_errors.lost(self.server, why, is_sent=True))
        self._unsent, self._chunks = [], []
        self._sent.clear()
        self._replies.clear()
        self._has_changed.set()

    def _put(self, publication: Publication, data: bytes) -> None:
        if self._is_lost:
            publication.settle(nats_errors.lost(self.server, self._complaint or "it is closed", is_sent=False))
            return
        self._unsent.append(publication)
        self._chunks.append(data)
        self._write_soon()

    def _write_soon(self) -> None:
        if not self._is_write_due:
            self._is_write_due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._is_write_due = False
        if self._is_paused or self._is_lost or not self._chunks:
            return
        assert self._transport is not None
        chunks, self._chunks = self._chunks, []
        if self._unsent:
            chunks.append(nats_wire.PING)
            self._sent.append(self._unsent)
            self._unsent = []
        self._transport.write(b"".join(chunks))

    def _handle(self, event: Event) -> None:
        match event:
            case Signal.PONG:
                self._confirm()
            case Message():
                self._answer(event)
            case Signal.PING:
                self._chunks.append(nats_wire.PONG)
                self._write_soon()
            case ServerError(text=text):
                self._object(text)
            case ServerInfo(fields=fields):
                self.info = {**self.info, **fields}
                self.is_leaving |= bool(fields.get("ldm"))
            case _:
                pass

    def _confirm(self) -> None:
        if not self._sent:
            return
        for publication in self._sent.popleft():
            publication.is_taken = True
            if not publication.wants_reply:
                publication.settle(None)

    def _answer(self, message: Message) -> None:
        publication = self._replies.get(message.subject)
        if publication is not None:
            publication.settle(message)

    def _object(self, text: str) -> None:
        """A complaint about a subject concerns what the oldest PING, which is not answered yet, closes off."""
        match = nats_errors.PERMISSION.search(text)
        if match is None:
            self._complain(text)
            return
        what, subject = match.group(1).lower(), match.group(2)
        for publication in self._sent[0] if self._sent else ():
            if what == "subscription" and publication is self._inbox_opening:
                publication.settle(nats_errors.no_inbox(subject, self.server))
            elif what != "subscription" and subject in (publication.subject, publication.reply):
                publication.settle(nats_errors.forbidden(subject, self.server))

    def _complain(self, text: str) -> None:
        """The server, or we, cannot go on."""
        self._complaint = text
        self.abort()

    async def _wait(self, is_reached: Any) -> None:
        while not is_reached() and not self._is_lost:
            self._has_changed.clear()
            await self._has_changed.wait()
