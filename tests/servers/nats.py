"""A real NATS server for tests, on a free loopback port, with its streams in a directory of its own."""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


def find_nats_server() -> str | None:
    """The server's program: beside this Python, where its wheel puts it, or on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.exists() else shutil.which("nats-server")


class NatsServer:
    """One server under `directory`. `start` after `stop` or `kill` keeps its port and its streams.

    `config` is what its file holds, as JSON, which the server reads too; without it JetStream is on and anybody may
    connect.
    """

    def __init__(self, directory: Path, config: Mapping[str, Any] | None = None) -> None:
        self._directory = directory
        self._config = {"jetstream": {}} if config is None else dict(config)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """On 127.0.0.1; known once started."""
        return self._port

    @property
    def url(self) -> str:
        """As a job writes it."""
        return f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        binary = find_nats_server()
        assert binary is not None
        self._port = self._port or _free_port()
        config = {"host": "127.0.0.1", "port": self._port, **self._config}
        if "jetstream" in config:
            config["jetstream"] = {"store_dir": str(self._directory / "streams"), **config["jetstream"]}
        path = self._directory / "server.conf"
        path.write_text(json.dumps(config))
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([binary, "-c", str(path)], stdout=log, stderr=log, cwd=self._directory)
        self._wait()

    def stop(self) -> None:
        """Ends it in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It stays connected and does nothing; returns when it has come to a stop."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """It goes on after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def reconfigure(self, config: Mapping[str, Any]) -> None:
        """What holds from the next start on."""
        self._config = dict(config)

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            assert self._process.poll() is None, self._log()
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=1) as probe:
                    if "handshake_first" in str(self._config) or probe.recv(4) == b"INFO":
                        return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError(self._log())

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)

    def _log(self) -> str:
        return (self._directory / "log").read_text()[-4000:]


@cache
def shared_nats() -> NatsServer:
    """One server for the whole session, which ends with it; take subjects and streams of your own."""
    return start_nats()


@pytest.fixture
def nats() -> NatsServer:
    """A server that nobody stops."""
    return shared_nats()


@pytest.fixture
def own_nats() -> Iterator[Callable[..., NatsServer]]:
    """Starts servers of the test's own, to stop and kill, given their configuration."""
    servers: list[NatsServer] = []

    def start(config: Mapping[str, Any] | None = None) -> NatsServer:
        servers.append(start_nats(config))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def start_nats(config: Mapping[str, Any] | None = None) -> NatsServer:
    """A server in a temporary directory, which goes with the process. Skips the test when none is installed."""
    if find_nats_server() is None:
        pytest.skip("no nats-server is installed")
    directory = Path(tempfile.mkdtemp(prefix="chronos-nats-"))
    server = NatsServer(directory, config)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)
    server.start()
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
