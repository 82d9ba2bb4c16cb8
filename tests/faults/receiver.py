"""The customer's endpoint as a process of its own: `python -m tests.faults.receiver LOG_FILE`.

A path says how a job is treated always: `/ok`, `/slow/1500` (answers after so many milliseconds), `/fail/30` (503 to
30 % of all attempts; which ones follows from execution and attempt alone), `/refuse` (429 always), `/accept` (202:
the end is told later, by completer.py). A mood, told on
stdin, changes that for everybody: `{"mood": "fail" | "hang" | "slow" | "break" | "well"}`. `{"address": true}` gives
the address.

Each request is a line in the log when it has arrived, and another when it is over, written before anything follows.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.faults.sidecar import obey_stdin

SLOW_MOOD_S = 2.0
HANG_S = 600.0
PHRASES = {200: "OK", 202: "Accepted", 429: "Too Many Requests", 503: "Service Unavailable"}


class Mood(StrEnum):
    """How the receiver treats everybody."""

    WELL = "well"
    FAIL = "fail"
    HANG = "hang"
    SLOW = "slow"
    BREAK = "break"


class Receiver:
    """Answers, and writes down what arrived and how it ended."""

    def __init__(self, log: Path) -> None:
        self.mood = Mood.WELL
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        began = now_us()
        line, *rows = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        path = line.split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        self._count += 1
        number = self._count
        self._write({"n": number, "began_us": began, **facts(headers)})
        status, is_early = 0, True
        try:
            await reader.readexactly(int(headers.get("content-length", "0")))
            status, delay = self._verdict(path, headers)
            is_early = await closes_within(reader, delay) if delay else reader.at_eof()
            if is_early:
                status = 0
            elif status:
                writer.write(f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Length: 0\r\n\r\n".encode())
        finally:
            self._write({"n": number, "ended_us": now_us(), "status": status, "is_early_close": is_early})
        return bool(status)

    def _verdict(self, path: str, headers: dict[str, str]) -> tuple[int, float]:
        """Status (0 to break off) and delay in seconds."""
        match self.mood:
            case Mood.FAIL:
                return 503, 0.0
            case Mood.HANG:
                return 0, HANG_S
            case Mood.BREAK:
                return 0, 0.0
        status, delay = ordinary(path, headers)
        return status, delay + (SLOW_MOOD_S if self.mood is Mood.SLOW else 0.0)

    def _write(self, fields: dict[str, Any]) -> None:
        os.write(self._log, json.dumps(fields).encode() + b"\n")


def ordinary(path: str, headers: dict[str, str]) -> tuple[int, float]:
    """What a path asks for: status and delay in seconds."""
    match path.strip("/").split("/"):
        case ["slow", milliseconds]:
            return 200, int(milliseconds) / 1000
        case ["fail", percent]:
            name = f"{headers.get('x-chronos-execution-id')} {headers.get('x-chronos-attempt')}"
            draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % 100
            return (503 if draw < int(percent) else 200), 0.0
        case ["refuse"]:
            return 429, 0.0
        case ["accept"]:
            return 202, 0.0
        case _:
            return 200, 0.0


def facts(headers: dict[str, str]) -> dict[str, Any]:
    """What the headers say about the run."""
    due = headers.get("x-chronos-scheduled-time", "1970-01-01T00:00:00Z")
    return {
        "job": f"default/{headers.get('x-chronos-job-id', '')}",
        "execution_id": headers.get("x-chronos-execution-id", ""),
        "scheduled_us": moment_us(due),
        "attempt": int(headers.get("x-chronos-attempt", "1")),
    }


def moment_us(text: str) -> int:
    """RFC 3339 as microseconds since the Unix epoch."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond


def now_us() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


async def closes_within(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Waits so long, or until the other side closes. What it sends meanwhile is lost: HTTP clients send nothing."""
    try:
        async with asyncio.timeout(seconds):
            return not await reader.read(1)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def serve(log: Path) -> None:
    """Runs until stdin ends."""
    receiver = Receiver(log)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, backlog=512)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def obey(order: dict[str, Any]) -> dict[str, Any]:
        if "mood" in order:
            receiver.mood = Mood(order["mood"])
        return {"address": address}

    await obey_stdin(obey)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(Path(sys.argv[1])))
