"""uvicorn as a guest in our loop: it takes no signals and ends when it is told."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

# Longer than Envoy keeps an idle connection, so that it is Envoy who closes.
KEEP_ALIVE_SECONDS = 75
LARGEST_HEAD_BYTES = 64 * 1024
LARGEST_MESSAGE_BYTES = 64 * 1024
"""Of a WebSocket, from a program."""


class HttpServer:
    """Serves an ASGI application on `host:port`; port 0 takes a free one."""

    def __init__(self, app: ASGIApp, listen: str) -> None:
        self._listen = listen
        self._socket: socket.socket | None = None
        self._ended = asyncio.Event()
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=LARGEST_MESSAGE_BYTES,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                h11_max_incomplete_event_size=LARGEST_HEAD_BYTES,
            )
        )

    def bind(self) -> str:
        """Takes the port, so that connections queue until `run`; gives the bound `host:port`. Raises OSError."""
        host, _, port = self._listen.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=2048)
        self._socket.setblocking(False)
        return f"{host}:{self._socket.getsockname()[1]}"

    async def run(self) -> None:
        """Answers until `stop`. Call after `bind`."""
        if self._socket is None:
            raise RuntimeError("bind was not called")
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Accepts nothing more, finishes what is under way, and waits until `run` has ended."""
        self._server.should_exit = True
        await self._ended.wait()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's own business."""
        yield
