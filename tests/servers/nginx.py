"""A real nginx for tests, on free loopback ports, with everything it writes in a directory of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
"""Two loopback addresses, so that one can be allowed and the other one not."""
MAIN = """
daemon off;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 2048; }}
http {{
  log_format call '$server_protocol $request_method $uri $status $http_x_chronos_execution_id';
  access_log {folder}/access.log call;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  ssl_certificate {folder}/server.pem;
  ssl_certificate_key {folder}/server.pem;
  ssl_client_certificate {folder}/ca.pem;
  server {{ listen {here}:{plain}; listen {elsewhere}:{plain}; {locations} }}
  server {{ listen {here}:{plain_h2} http2; {locations} }}
  server {{ listen {here}:{tls} ssl http2; {locations} }}
  server {{ listen {here}:{mutual} ssl http2; ssl_verify_client on; {locations} }}
  server {{
    listen {here}:{expired} ssl;
    ssl_certificate {folder}/expired.pem;
    ssl_certificate_key {folder}/expired.pem;
    {locations}
  }}
}}
"""
LOCATIONS = """
    location / { return 200 "$server_protocol $request_method $ssl_client_verify"; }
    location /301/ { return 301 $arg_url; }
    location /302/ { return 302 $arg_url; }
    location /303/ { return 303 $arg_url; }
    location /307/ { return 307 $arg_url; }
    location /308/ { return 308 $arg_url; }
    location /loop { return 307 /loop; }
"""


class NginxServer:
    """One nginx under `directory`. `start` after `stop` or `kill` keeps ports and log.

    Its locations `/301/?url=…` to `/308/?url=…` redirect to that URL, `/loop` to itself; others answer with the
    protocol, the method and what became of the client certificate.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.authority = trustme.CA()
        names = ("plain", "plain_h2", "tls", "mutual", "expired")
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.authority.cert_pem.write_to_path(directory / "ca.pem")
        self._issue("server.pem")
        self._issue("expired.pem", not_after=datetime(2020, 1, 1, tzinfo=UTC))
        config = MAIN.format(folder=directory, here=HERE, elsewhere=ELSEWHERE, locations=LOCATIONS, **self._ports)
        (directory / "nginx.conf").write_text(config)

    def url(self, name: str, path: str = "/", host: str = "") -> str:
        """Of the server of that name: plain, plain_h2, tls, mutual or expired."""
        scheme = "http" if name.startswith("plain") else "https"
        return f"{scheme}://{host or ('localhost' if scheme == 'https' else HERE)}:{self._ports[name]}{path}"

    def port(self, name: str) -> int:
        return self._ports[name]

    def start(self) -> None:
        """Starts and waits until it listens."""
        command = [_binary(), "-p", str(self._directory), "-c", str(self._directory / "nginx.conf")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            assert self._process.poll() is None, (self._directory / "log").read_text()[-2000:]
            with contextlib.suppress(OSError), socket.create_connection((HERE, self._ports["plain"]), timeout=1):
                return
            time.sleep(0.01)
        raise TimeoutError((self._directory / "log").read_text()[-2000:])

    def stop(self) -> None:
        """A fast shutdown."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the master and its worker: connections break, nothing is answered any more."""
        if self._process is None:
            return
        workers = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._end(signal.SIGKILL)
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)

    def calls(self) -> list[list[str]]:
        """What it answered so far: protocol, method, path, status, execution id."""
        log = self._directory / "access.log"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def _issue(self, name: str, not_after: datetime | None = None) -> None:
        leaf = self.authority.issue_cert("localhost", HERE, "hooks.example", not_after=not_after)
        leaf.private_key_and_cert_chain_pem.write_to_path(self._directory / name)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)


def start_nginx(directory: Path) -> NginxServer:
    """A running server, which the caller stops. Skips the test when none is installed."""
    if shutil.which("nginx") is None:
        pytest.skip("no nginx is installed")
    server = NginxServer(directory)
    server.start()
    return server


@pytest.fixture(scope="session")
def shared_nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxServer]:
    """A server for all tests that leave it running."""
    server = start_nginx(tmp_path_factory.mktemp("nginx"))
    yield server
    server.stop()


@pytest.fixture
def own_nginx(tmp_path: Path) -> Iterator[NginxServer]:
    """A server that the test may kill."""
    server = start_nginx(tmp_path / "nginx")
    yield server
    server.stop()


def _binary() -> str:
    found = shutil.which("nginx")
    if found is None:
        raise FileNotFoundError("nginx: install it")
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HERE, 0))
        return [each.getsockname()[1] for each in sockets]
