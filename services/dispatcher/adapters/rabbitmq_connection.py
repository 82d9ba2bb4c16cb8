"""A connection to a RabbitMQ broker, at an address that was checked."""

import asyncio
import ssl
from typing import Any

from aiormq import Connection, TransportFactory
from aiormq.connection import FrameReceiver
from aiormq.exceptions import ConnectionClosed, InvalidFrameError
from pamqp import commands
from pamqp.base import Frame
from pamqp.frame import FrameTypes
from yarl import URL

from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.rabbitmq_errors import Refused
from services.dispatcher.adapters.tls_contexts import ssl_context
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.rabbitmq import Broker

HEARTBEAT_SECONDS = 10
MOST_UNSENT_BYTES = 256 * 1024


class BrokerConnection(Connection):
    """A connection that says why the broker closed it while it was being opened.

    What is written must never wait: the library drops what it has to say about a closed channel when there is no room,
    and lets publishes go out behind it, for which the broker closes the whole connection.
    """

    FRAME_BUFFER_SIZE = 1_000_000

    @staticmethod
    async def _rpc(
        request: Frame, writer: asyncio.StreamWriter, frame_receiver: FrameReceiver, wait_response: bool = True
    ) -> FrameTypes | None:
        # The library takes the broker's refusal for a frame out of place, and loses the reason.
        heard = _Heard(frame_receiver)
        try:
            return await Connection._rpc(request, writer, heard, wait_response)  # type: ignore[arg-type]
        except InvalidFrameError:
            if isinstance(heard.last, commands.Connection.Close):
                raise ConnectionClosed(heard.last.reply_code, heard.last.reply_text) from None
            raise


class CheckedTransport(TransportFactory):
    """Connects to `address`, whatever the URL says; `server_hostname` is whose certificate TLS wants."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext | None, server_hostname: str | None) -> None:
        self._address = address
        self._port = port
        self._context = context
        self._server_hostname = server_hostname
        self._writer: asyncio.StreamWriter | None = None

    async def make_room(self) -> None:
        """Waits while much of what was written has not left yet."""
        while self._writer is not None and self._writer.transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            await self._writer.drain()

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See TransportFactory. Raises what the loop raises."""
        del url, kwargs
        reader, self._writer = await asyncio.open_connection(
            self._address, self._port, ssl=self._context, server_hostname=self._server_hostname
        )
        return reader, self._writer


async def connect(broker: Broker, addresses: Addresses, *, ca_file: str) -> tuple[BrokerConnection, CheckedTransport]:
    """An open connection. Raises Refused, and what the loop and the library raise; the caller bounds the time."""
    address = await addresses.find(broker.host, broker.port)
    if isinstance(address, Failure):
        raise Refused(address)
    transport = CheckedTransport(address, broker.port, *_secure(broker, ca_file))
    # The library's own ways to say all this read files that a URL names, and mend the name of the virtual host.
    url = URL.build(
        scheme="amqp",
        host="broker",
        user=broker.username,
        password=broker.password,
        query={"heartbeat": str(HEARTBEAT_SECONDS)},
    )
    connection = BrokerConnection(
        url, transport_factory=transport, client_properties={"product": "Chronos", "connection_name": "chronos"}
    )
    connection.vhost = broker.vhost
    await connection.connect()
    return connection, transport


def _secure(broker: Broker, ca_file: str) -> tuple[ssl.SSLContext | None, str | None]:
    if broker.tls is None:
        return None, None
    try:
        context = ssl_context(broker.tls, ca_file=ca_file)
    except ValueError as error:
        raise Refused(Failure(kind=FailureKind.INVALID, error=str(error))) from None
    return context, broker.tls.server_name or broker.host


class _Heard:
    """Hands frames on, and keeps the last."""

    def __init__(self, frames: FrameReceiver) -> None:
        self._frames = frames
        self.last: FrameTypes | None = None

    async def get_frame(self) -> tuple[int, int, FrameTypes]:
        frame = await self._frames.get_frame()
        self.last = frame[2]
        return frame
