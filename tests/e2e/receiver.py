"""A receiving end over real HTTP that behaves as the path of a call tells it, and keeps what it was sent.

`/ok` answers 200; `/status/404` that status; `/fail-first/2` answers 503 to the first two attempts;
`/retry-after/2` answers the first attempt with 429 and `Retry-After: 2`; `/slow/5` answers after five seconds;
`/large/1000000` answers with so many bytes; `/redirect` sends elsewhere; `/cut` hangs up in the middle of its answer.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request as it arrived. `at` is Unix time in seconds; header names are in lower case."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def attempt(self) -> int:
        return int(self.headers["x-chronos-attempt"])

    @property
    def scheduled_time(self) -> datetime:
        return datetime.fromisoformat(self.headers["x-chronos-scheduled-time"])


class Receiver:
    """What arrived, in order of arrival."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._deliveries: list[Delivery] = []
        self._stopped = threading.Event()

    def url(self, path: str) -> str:
        """The address of a path here."""
        return self._base_url + path

    def of_job(self, job_id: str) -> list[Delivery]:
        return [one for one in list(self._deliveries) if one.headers.get("x-chronos-job-id") == job_id]

    def of_execution(self, execution_id: str) -> list[Delivery]:
        return [one for one in list(self._deliveries) if one.headers.get("x-chronos-execution-id") == execution_id]

    def take(self, delivery: Delivery) -> None:
        self._deliveries.append(delivery)

    def wait(self, seconds: float) -> None:
        """Waits, but not longer than the receiver lives."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        self._stopped.set()


class Server(ThreadingHTTPServer):
    """Serves each connection in a thread; a client that hangs up is no error."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def running_receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port of this machine, with TLS if wanted."""
    server = Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver = Receiver(f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = handler_for(receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        server.shutdown()
        thread.join()
        server.server_close()


def handler_for(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    """A handler that tells `receiver` what arrives."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do(self) -> None:
            arrived = time.time()
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode(errors="replace")
            headers = {name.lower(): value for name, value in self.headers.items()}
            delivery = Delivery(at=arrived, method=self.command, path=self.path, headers=headers, body=body)
            receiver.take(delivery)
            _, verb, *rest = self.path.split("/")
            number = float(rest[0]) if rest and rest[0].replace(".", "", 1).isdigit() else 0.0
            self.react(verb, number, delivery.attempt if "x-chronos-attempt" in headers else 1)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do  # noqa: N815

        def react(self, verb: str, number: float, attempt: int) -> None:
            match verb:
                case "status":
                    self.answer(int(number), b"as you wish")
                case "fail-first":
                    self.answer(503 if attempt <= number else 200, b"not yet")
                case "retry-after":
                    first = {"Retry-After": f"{number:g}"}
                    self.answer(429 if attempt == 1 else 200, b"", first if attempt == 1 else {})
                case "slow":
                    receiver.wait(number)
                    self.answer(200, b"late")
                case "large":
                    self.answer(200, b"x" * int(number))
                case "redirect":
                    self.answer(302, b"", {"Location": receiver.url("/ok")})
                case "cut":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhal")
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                case _:
                    self.answer(200, b"ok")

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler
