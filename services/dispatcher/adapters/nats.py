"""NATS messages: success only when the server, a replier or a stream has said so."""

import asyncio
import codecs
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from libs.clock import Clock
from services.dispatcher.adapters import nats_errors
from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.nats_connection import NatsConnection, Outcome, Publication
from services.dispatcher.adapters.nats_errors import NotConnectedError
from services.dispatcher.adapters.nats_opening import open_nats
from services.dispatcher.adapters.nats_wire import Message, message_size
from services.dispatcher.adapters.pool import Pool, open_pool
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.nats import EXPECTED_STREAM, Manner, NatsRequest
from services.dispatcher.domain.targets.nats_servers import Access

NO_RESPONDERS = "503"
STREAM_NAMES = "$JS.API.STREAM.NAMES"
LOOKUP_SECONDS = 2.0
MOST_CONNECTIONS = 256
IDLE = timedelta(minutes=5)
UTF8 = codecs.getincrementaldecoder("utf-8")
TIMED_OUT = Failure(kind=FailureKind.TIMEOUT, error="timed out")


class NatsSender:
    """Publishes messages, over one connection for each `Access`. Of a reply, `max_response_bytes` are kept."""

    def __init__(self, pool: Pool[Access, NatsConnection], *, max_response_bytes: int) -> None:
        self._pool = pool
        self._limit = max_response_bytes

    async def send(self, request: NatsRequest) -> Receipt | Failure:
        """The receipt, or why there is none, within the request's timeout."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.timeout.total_seconds()
        connection: NatsConnection | None = None
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._connect(request.access)
                failure = await connection.listen() if request.manner is not Manner.PUBLISH else None
        except TimeoutError:
            if connection is not None:
                await self._pool.drop(request.access, connection)
            return nats_errors.not_connected_in_time(request.access.servers[0], request.timeout)
        except NotConnectedError as error:
            return error.failure
        return failure or await self._exchange(connection, request, deadline)

    async def _connect(self, access: Access) -> NatsConnection:
        connection = await self._pool.get(access)
        while connection.is_leaving:
            await self._pool.drop(access, connection)
            connection = await self._pool.get(access)
        return connection

    async def _exchange(self, connection: NatsConnection, request: NatsRequest, deadline: float) -> Receipt | Failure:
        size = message_size(request.headers, request.payload)
        if size > connection.max_payload:
            return nats_errors.too_large(size, connection.max_payload, connection.server)
        match request.manner:
            case Manner.PUBLISH:
                sent = connection.publish(request.subject, request.reply_subject, request.headers, request.payload)
                outcome = await self._outcome(connection, request, sent, deadline)
                return outcome if isinstance(outcome, Failure) else Receipt()
            case Manner.REQUEST:
                reply_deadline = asyncio.get_running_loop().time() + request.reply_timeout.total_seconds()
                outcome = await self._ask(connection, request, min(deadline, reply_deadline))
                return self._read_reply(outcome, request)
            case Manner.STREAM:
                outcome = await self._ask(connection, request, deadline)
                if isinstance(outcome, Message) and outcome.status == NO_RESPONDERS:
                    return await _why_no_stream(connection, request.subject, deadline)
                return self._read_acknowledgement(outcome, request)

    async def _ask(self, connection: NatsConnection, request: NatsRequest, deadline: float) -> Outcome:
        sent = connection.ask(request.subject, request.headers, request.payload)
        try:
            return await self._outcome(connection, request, sent, deadline)
        finally:
            connection.forget(sent)

    async def _outcome(
        self, connection: NatsConnection, request: NatsRequest, sent: Publication, deadline: float
    ) -> Outcome:
        outcome = await _settled(sent, deadline)
        if outcome is not TIMED_OUT:
            return outcome
        if sent.is_taken:
            return nats_errors.unanswered(request)
        # Whoever else waits on this connection may have more patience; new ones get another.
        await self._pool.drop(request.access, connection)
        return nats_errors.unconfirmed(connection.server, request.timeout)

    def _read_reply(self, outcome: Outcome, request: NatsRequest) -> Receipt | Failure:
        if not isinstance(outcome, Message):
            return outcome or Receipt()
        if outcome.status == NO_RESPONDERS:
            return nats_errors.no_responders(request.subject)
        is_truncated = len(outcome.payload) > self._limit
        text = UTF8(errors="replace").decode(outcome.payload[: self._limit], final=not is_truncated)
        return Receipt(response=text.replace("\x00", "\N{REPLACEMENT CHARACTER}"), is_truncated=is_truncated)

    @staticmethod
    def _read_acknowledgement(outcome: Outcome, request: NatsRequest) -> Receipt | Failure:
        if not isinstance(outcome, Message):
            return outcome or Receipt()
        expected = request.headers.get(EXPECTED_STREAM, "")
        return nats_errors.read_acknowledgement(outcome.payload, request.subject, expected)


async def _settled(sent: Publication, deadline: float) -> Outcome:
    """What becomes of a message, TIMED_OUT at the deadline. Costs a timer, and no task."""
    timer = asyncio.get_running_loop().call_at(deadline, sent.settle, TIMED_OUT)
    try:
        return await sent.done
    finally:
        timer.cancel()


async def _why_no_stream(connection: NatsConnection, subject: str, deadline: float) -> Failure:
    """Why nobody took a message for a stream: a stream without a leader is as silent as none at all."""
    query = json.dumps({"subject": subject}).encode()
    sent = connection.ask(STREAM_NAMES, {}, query)
    try:
        latest = asyncio.get_running_loop().time() + LOOKUP_SECONDS
        outcome = await _settled(sent, min(deadline, latest))
    finally:
        connection.forget(sent)
    if not isinstance(outcome, Message):
        return nats_errors.stream_away(subject)
    if outcome.status == NO_RESPONDERS:
        return nats_errors.no_jetstream("nobody answers for it")
    return nats_errors.read_stream_names(outcome.payload, subject)


@asynccontextmanager
async def open_nats_sender(
    addresses: Addresses, clock: Clock, *, max_response_bytes: int, ca_file: str = ""
) -> AsyncIterator[NatsSender]:
    """A sender, whose connections are closed at the end."""
    async with open_pool(
        partial(open_nats, addresses=addresses, ca_file=ca_file),
        NatsConnection.close,
        limit=MOST_CONNECTIONS,
        idle=IDLE,
        clock=clock,
    ) as pool:
        yield NatsSender(pool, max_response_bytes=max_response_bytes)
