"""The WebSocket side of the gateway: `/ws`."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from starlette.websockets import WebSocket, WebSocketDisconnect

from libs.clock import Clock
from libs.faults import Fault, Forbidden
from libs.log import get_logger
from libs.process import wait_first
from libs.rpc.auth import Authenticator
from services.gateway.domain.socket_messages import (
    Hello,
    SocketMessageError,
    ack_text,
    error_text,
    parse_acknowledgement,
    parse_hello,
)
from services.gateway.sockets import Connection, Sockets

PERMISSION = "event:listen"
HELLO_TIMEOUT = timedelta(seconds=10)
KEY_CHECK_INTERVAL = timedelta(seconds=30)
POLICY_VIOLATION, GOING_AWAY, NORMAL = 1008, 1001, 1000

logger = get_logger()


class SocketEndpoint:
    """Lets programs in and passes on what they and the mesh have to say to each other."""

    def __init__(self, sockets: Sockets, authenticator: Authenticator, clock: Clock) -> None:
        self._sockets = sockets
        self._authenticator = authenticator
        self._clock = clock
        self._closing = asyncio.Event()

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its first message to its end."""
        await websocket.accept()
        try:
            hello = await self._greet(websocket)
        except (SocketMessageError, Fault) as error:
            await _refuse(websocket, error.message if isinstance(error, Fault) else str(error))
            return
        except (WebSocketDisconnect, TimeoutError):
            with suppress(RuntimeError):
                await websocket.close(POLICY_VIOLATION, "nothing was said in time")
            return
        connection = Connection(hello)
        self._sockets.add(connection)
        logger.info("program connected", namespace=hello.namespace, client=hello.client_name, tags=len(hello.tags))
        try:
            await self._talk(websocket, connection)
        finally:
            self._sockets.remove(connection)
            logger.info("program disconnected", namespace=hello.namespace, client=hello.client_name)

    def close_all(self) -> None:
        """Ends every connection: the programs come back to another gateway."""
        self._closing.set()

    async def _greet(self, websocket: WebSocket) -> Hello:
        async with asyncio.timeout(HELLO_TIMEOUT.total_seconds()):
            hello = parse_hello(await _receive(websocket))
        self._admit(hello)
        await websocket.send_text(ack_text("subscription registered"))
        return hello

    def _admit(self, hello: Hello) -> None:
        principal = self._authenticator.identify(hello.token)
        if not principal.has_permission(PERMISSION):
            raise Forbidden(f'the API key "{principal.name}" lacks the permission {PERMISSION}; use a key that has it')
        if not principal.has_namespace(hello.namespace):
            raise Forbidden(f'the API key "{principal.name}" has no access to the namespace "{hello.namespace}"')

    async def _talk(self, websocket: WebSocket, connection: Connection) -> None:
        try:
            await wait_first(
                self._read(websocket, connection),
                self._write(websocket, connection),
                self._check_key(connection.hello),
                self._closing.wait(),
            )
            await websocket.close(GOING_AWAY, "the gateway stops; connect again")
        except (SocketMessageError, Fault) as error:
            await _refuse(websocket, error.message if isinstance(error, Fault) else str(error))
        except (WebSocketDisconnect, RuntimeError):
            return

    async def _read(self, websocket: WebSocket, connection: Connection) -> None:
        while True:
            text = await _receive(websocket)
            if not connection.hello.client_name:
                connection.answer(error_text("acknowledge not supported for tag-listener"))
                continue
            try:
                acknowledgement = parse_acknowledgement(text)
            except SocketMessageError as error:
                connection.answer(error_text(str(error)))
                continue
            if connection.acknowledged(acknowledgement):
                connection.answer(ack_text("acknowledged"))
            else:
                connection.answer(error_text(f"no event {acknowledgement.occurrence_id} waits to be acknowledged"))

    async def _write(self, websocket: WebSocket, connection: Connection) -> None:
        while True:
            await websocket.send_text(await connection.unsent.get())

    async def _check_key(self, hello: Hello) -> None:
        """Raises Unauthenticated or Forbidden once the key is not good any more."""
        while True:
            await self._clock.sleep(KEY_CHECK_INTERVAL)
            self._admit(hello)


async def _receive(websocket: WebSocket) -> str:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", NORMAL))
    text = message.get("text")
    if text is None:
        raise SocketMessageError("messages are text")
    return str(text)


async def _refuse(websocket: WebSocket, why: str) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_text(error_text(why))
        await websocket.close(POLICY_VIOLATION, "refused")
