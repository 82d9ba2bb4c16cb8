"""The protocol between a NATS client and its server, as far as a publisher needs it (docs.nats.io, "NATS Protocol")."""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

CRLF = b"\r\n"
PING = b"PING\r\n"
PONG = b"PONG\r\n"
HEADER_LINE = b"NATS/1.0"
LONGEST_LINE = 1024 * 1024


class Signal(Enum):
    """What comes without anything beside."""

    PING = "PING"
    PONG = "PONG"
    OK = "+OK"


class ServerInfo(NamedTuple):
    """What a server says about itself, at the beginning and whenever it changes."""

    fields: Mapping[str, Any]


class ServerError(NamedTuple):
    """What a server complains about."""

    text: str


class Message(NamedTuple):
    """A message to one of our subscriptions. `status` is 503 when nobody listens on what was asked, else empty."""

    subject: str
    status: str
    payload: bytes


Event = Signal | ServerInfo | ServerError | Message


def connect_line(options: Mapping[str, Any]) -> bytes:
    """Tells the server who we are and what we understand."""
    return b"CONNECT " + json.dumps(options, separators=(",", ":")).encode() + CRLF


def subscribe_line(subject: str, number: int) -> bytes:
    """Asks for the messages of a subject."""
    return f"SUB {subject} {number}\r\n".encode()


def message_bytes(subject: str, reply: str, headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message with headers. The caller sees to it that none of the texts holds a line break."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"NATS/1.0\r\n{lines}\r\n".encode()
    there = f"{subject} {reply}" if reply else subject
    return b"%b%b%b\r\n" % (f"HPUB {there} {len(head)} {len(head) + len(payload)}\r\n".encode(), head, payload)


def message_size(headers: Mapping[str, str], payload: bytes) -> int:
    """Bytes that count against the server's bound: headers and payload."""
    return 12 + sum([len(name) + len(value.encode()) + 4 for name, value in headers.items()]) + len(payload)


class Parser:
    """Cuts what a server sends into events. Keeps what is not whole yet."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._buffer

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are whole now; the rest waits. Raises ValueError for what is not of this protocol.

        Events that were not taken from the iterator come with the next one.
        """
        self._buffer += data
        while (end := self._buffer.find(CRLF)) >= 0:
            line = bytes(self._buffer[:end])
            if line == b"PONG":
                del self._buffer[: end + 2]
                yield Signal.PONG
                continue
            name, _, rest = line.partition(b" ")
            name = name.upper()
            if name not in (b"MSG", b"HMSG"):
                del self._buffer[: end + 2]
                yield _signal(name, rest)
                continue
            message = self._message(rest.split(), end + 2, has_headers=name == b"HMSG")
            if message is None:
                return
            yield message
        if len(self._buffer) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE:,} bytes")

    def _message(self, words: list[bytes], begin: int, *, has_headers: bool) -> Message | None:
        if len(words) < 3:
            raise ValueError("a message without its size")
        head = int(words[-2]) if has_headers else 0
        end = begin + int(words[-1])
        if len(self._buffer) < end + 2:
            return None
        headers, payload = bytes(self._buffer[begin : begin + head]), bytes(self._buffer[begin + head : end])
        del self._buffer[: end + 2]
        return Message(words[0].decode("utf-8", "replace"), _status(headers), payload)


def _signal(name: bytes, rest: bytes) -> Event:
    match name:
        case b"PING" | b"PONG" | b"+OK":
            return Signal(name.decode())
        case b"-ERR":
            return ServerError(rest.decode("utf-8", "replace").strip().strip("'"))
        case b"INFO":
            fields = json.loads(rest)
            if not isinstance(fields, dict):
                raise ValueError("INFO that is no object")
            return ServerInfo(fields)
        case _:
            raise ValueError(f"{name[:32]!r}, which is no word of NATS")


def _status(headers: bytes) -> str:
    """The number in a first line like `NATS/1.0 503`."""
    first = headers.partition(CRLF)[0]
    return first.removeprefix(HEADER_LINE).strip()[:3].decode("ascii", "replace")
