"""The receiver for machines without nginx: answers 200 to everything and notes the Chronos headers of each call.

python -m bench.builtin PORT LOG_FILE
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import TextIO, cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
FLUSH_SECONDS = 0.5


class Call(asyncio.Protocol):
    """One kept-alive connection. Understands what our own HTTP client sends: a head and a Content-Length."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").lower().split("\r\n")[1:]
            headers = dict(line.split(": ", 1) for line in lines)
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            scheduled = headers.get("x-chronos-scheduled-time", "-").upper()
            attempt = headers.get("x-chronos-attempt", "-")
            identity = headers.get("x-chronos-execution-id", "-")
            self._log.write(f"{time.time():.3f} {identity} {scheduled} {attempt}\n")
            self._transport.write(ANSWER)


async def serve(port: int, log: TextIO) -> None:
    """Answers until it is killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Call(log), "127.0.0.1", port, backlog=4096)
    async with server:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            log.flush()


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w") as file:
        uvloop.run(serve(int(sys.argv[1]), file))
