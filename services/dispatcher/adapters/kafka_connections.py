"""Connections to Kafka brokers that lead only where jobs may send."""

import asyncio
import struct
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.kafka_errors import Undelivered, broken, not_connected
from services.dispatcher.adapters.tls_contexts import ssl_context
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.kafka import Broker, KafkaLink

CONNECT_TIMEOUT = timedelta(seconds=10)
ANSWER_TIMEOUT = timedelta(seconds=20)
"""For what is asked on a connection; then it counts as dead. Longer than brokers wait for replicas."""
IDLE_LIFETIME = timedelta(minutes=4)
LONGEST_FRAME = 16 * 1024 * 1024
"""Of an answer. A broker that a job names could otherwise fill the memory."""
CLIENT_ID = "chronos"


class _CheckedLoop:
    """An event loop as a connection sees it: what it connects to is what was checked, under the name that was asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop, addresses: Addresses, server_name: str) -> None:
        self._loop = loop
        self._addresses = addresses
        self._server_name = server_name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, new_protocol: Any, host: str, port: int, *, ssl: Any = None) -> Any:
        """See AbstractEventLoop. Raises Undelivered for hosts that may not be connected to."""
        address = await self._addresses.find(host, port)
        if isinstance(address, Failure):
            raise Undelivered(address)
        name = (self._server_name or host) if ssl is not None else None
        return await self._loop.create_connection(new_protocol, address, port, ssl=ssl, server_hostname=name)


class _CheckedConnection(AIOKafkaConnection):  # type: ignore[misc] # aiokafka has no types
    """A connection of aiokafka's that connects through `addresses`, and reads no endless answers."""

    def __init__(self, broker: Broker, addresses: Addresses, server_name: str, **how: Any) -> None:
        super().__init__(broker.host, broker.port, **how)
        self._loop: Any = _CheckedLoop(asyncio.get_running_loop(), addresses, server_name)

    @staticmethod
    async def _read(self_ref: Any) -> None:
        connection = self_ref()
        if connection is None:
            return
        reader = connection._reader
        del connection  # or it could not be collected while it waits
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            if not 0 < size <= LONGEST_FRAME:
                raise ConnectionError(f"an answer of {size} bytes")
            frame = await reader.readexactly(size)
            connection = self_ref()
            if connection is None:
                return
            connection._handle_frame(frame)
            del connection


@dataclass(frozen=True, slots=True, eq=False)
class KafkaConnection:
    """An open connection to a broker."""

    broker: Broker
    raw: AIOKafkaConnection

    @property
    def is_open(self) -> bool:
        """Whether it can still be used, as far as is known."""
        return bool(self.raw.connected())

    async def ask(self, request: Any, *, is_answered: bool = True) -> Any:
        """The answer to a request; None when there is to be none.

        Raises Undelivered: certain when the request did not leave, unclear when its answer did not come.
        """
        try:
            answer = self.raw.send(request, expect_response=is_answered)
        except (KafkaConnectionError, OSError) as error:
            raise not_connected(error, self.broker) from error
        except RuntimeError as error:
            # What aiokafka raises where there is no version of the request that both know.
            words = f"{self.broker} is too old, or too new, for this dispatcher; Kafka 0.11 or newer is needed"
            raise Undelivered(Failure(kind=FailureKind.REFUSED, error=words)) from error
        try:
            return await answer
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            # After a time-out the next answers would be late ones to earlier requests.
            self.raw.close(reason=CloseReason.CONNECTION_TIMEOUT)
            raise broken(error, self.broker) from error

    async def close(self) -> None:
        """Closes it; what waits for an answer fails."""
        closed = self.raw.close(reason=CloseReason.SHUTDOWN)
        if closed is not None:
            await closed


async def open_connection(broker: Broker, link: KafkaLink, addresses: Addresses, *, ca_file: str) -> KafkaConnection:
    """A connection, secured and authenticated as the link says. Raises Undelivered."""
    sasl, tls = link.sasl, link.tls
    try:
        context = ssl_context(tls, ca_file=ca_file) if tls is not None else None
    except ValueError as error:
        raise Undelivered(Failure(kind=FailureKind.INVALID, error=str(error))) from None
    raw = _CheckedConnection(
        broker,
        addresses,
        tls.server_name if tls is not None else "",
        client_id=CLIENT_ID,
        request_timeout_ms=int(ANSWER_TIMEOUT.total_seconds() * 1000),
        max_idle_ms=int(IDLE_LIFETIME.total_seconds() * 1000),
        security_protocol=("SASL_" if sasl is not None else "") + ("SSL" if tls is not None else "PLAINTEXT"),
        ssl_context=context,
        sasl_mechanism=sasl.mechanism.value if sasl is not None else None,
        sasl_plain_username=sasl.username if sasl is not None else None,
        sasl_plain_password=sasl.password if sasl is not None else None,
    )
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds()):
            await raw.connect()
    except Undelivered:
        raise
    except Exception as error:
        # A broker may answer anything: whatever the library makes of it, there is no connection.
        raise not_connected(error, broker) from error
    return KafkaConnection(broker, raw)
