"""A real RabbitMQ broker for tests, on free loopback ports, with an epmd and a data directory of its own."""

import atexit
import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import trustme

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LARGEST_MESSAGE = 131_072
USERS = {"guest": "guest", "writer": "pen", "reader": "glasses", "outsider": "stranger"}
"""`writer` may publish to `allowed` and the default exchange, `reader` may only read, `outsider` has no vhost."""
PERMISSIONS = {
    ("guest", "/"): ".*",
    ("guest", "orders"): ".*",
    ("writer", "/"): "^(allowed|amq[.]default|amq[.]topic)$",
    ("reader", "/"): "^$",
}
"""What each may write to."""


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Whom the broker trusts, and who may be trusted to be it."""

    authority: trustme.CA
    client: trustme.LeafCert

    @property
    def ca_cert(self) -> str:
        return self.authority.cert_pem.bytes().decode()

    @property
    def client_cert(self) -> str:
        return "".join(blob.bytes().decode() for blob in self.client.cert_chain_pems)

    @property
    def client_key(self) -> str:
        return self.client.private_key_pem.bytes().decode()


class RabbitmqServer:
    """One broker under `directory`. `start` after `stop` or `kill` keeps ports and data."""

    def __init__(self, directory: Path, *, needs_client_certificate: bool = False) -> None:
        self._directory = directory
        self._needs_client_certificate = needs_client_certificate
        self.port, self.tls_port, self._dist_port, self._epmd_port = _free_ports(4)
        authority = trustme.CA()
        self.certificates = Certificates(authority=authority, client=authority.issue_cert("client.example"))
        self._node = f"chronos{uuid.uuid4().hex[:8]}@localhost"
        self._epmd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, vhost: str = "%2F", host: str = "127.0.0.1") -> str:
        return f"amqp://{host}:{self.port}/{vhost}"

    def tls_url(self, host: str = "localhost") -> str:
        return f"amqps://{host}:{self.tls_port}/%2F"

    def start(self) -> None:
        """Starts the broker and waits until it answers."""
        if not (self._directory / "rabbitmq.conf").exists():
            self._configure()
        if self._epmd is None:
            epmd = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = subprocess.Popen(
                epmd, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
            )
            _wait_for_port(self._epmd_port, self._epmd, lambda: "epmd does not answer")
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [str(PROGRAMS / "rabbitmq-server")],
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        for port in (self.port, self.tls_port):
            _wait_for_port(port, self._process, self._log)

    def stop(self) -> None:
        """Lets the broker finish; its epmd goes too."""
        self._end(signal.SIGTERM)
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait(STOP_TIMEOUT_S)
            self._epmd = None

    def kill(self) -> None:
        """SIGKILL: no goodbye; the next start recovers from disk."""
        self._end(signal.SIGKILL)

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` says; slow, since it starts a virtual machine of its own."""
        command = [str(PROGRAMS / "rabbitmqctl"), "-q", "-n", self._node, *arguments]
        done = subprocess.run(command, env=self._environment, cwd=self._directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def _environment(self) -> Mapping[str, str]:
        folder = str(self._directory)
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            # Debian's file names a user and folders of its own.
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/no-environment",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # The script then becomes the broker, so that its process is the one to kill.
            "detached": "1",
        }

    def _configure(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        leaf = self.certificates.authority.issue_cert("localhost")
        leaf.private_key_and_cert_chain_pem.write_to_path(self._directory / "server.pem")
        self.certificates.authority.cert_pem.write_to_path(self._directory / "ca.pem")
        (self._directory / "definitions.json").write_text(json.dumps(_definitions()))
        (self._directory / "enabled_plugins").write_text("[].\n")
        (self._directory / "rabbitmq.conf").write_text(
            f"""
            load_definitions = {self._directory}/definitions.json
            max_message_size = {LARGEST_MESSAGE}
            disk_free_limit.absolute = 1MB
            listeners.ssl.1 = 127.0.0.1:{self.tls_port}
            ssl_options.cacertfile = {self._directory}/ca.pem
            ssl_options.certfile = {self._directory}/server.pem
            ssl_options.keyfile = {self._directory}/server.pem
            ssl_options.verify = verify_peer
            ssl_options.fail_if_no_peer_cert = {str(self._needs_client_certificate).lower()}
            """.replace("            ", "")
        )

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
        return (self._directory / "output").read_text()[-4000:]


@cache
def shared_rabbitmq() -> RabbitmqServer:
    """One broker for the whole session, which ends with it; declare what a test needs under names of its own."""
    return start_rabbitmq()


@cache
def shared_mutual_rabbitmq() -> RabbitmqServer:
    """The same, but its TLS port lets nobody in without a certificate."""
    return start_rabbitmq(needs_client_certificate=True)


@pytest.fixture
def rabbitmq() -> RabbitmqServer:
    """The broker of the session."""
    return shared_rabbitmq()


@pytest.fixture
def mutual_rabbitmq() -> RabbitmqServer:
    """The broker of the session that wants certificates of clients."""
    return shared_mutual_rabbitmq()


@pytest.fixture
def own_rabbitmq() -> Iterator[RabbitmqServer]:
    """A broker of the test's own, to stop and kill."""
    server = start_rabbitmq()
    yield server
    server.stop()


def start_rabbitmq(*, needs_client_certificate: bool = False) -> RabbitmqServer:
    """A broker in a temporary directory, which goes with the process. Skips the test when none is installed."""
    if not (PROGRAMS / "rabbitmq-server").exists():
        pytest.skip("no RabbitMQ is installed")
    directory = Path(tempfile.mkdtemp(prefix="chronos-rabbitmq-"))
    server = RabbitmqServer(directory, needs_client_certificate=needs_client_certificate)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)
    server.start()
    return server


def _definitions() -> dict[str, object]:
    return {
        "vhosts": [{"name": "/"}, {"name": "orders"}],
        "users": [
            {
                "name": name,
                "password_hash": _hash(password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            }
            for name, password in USERS.items()
        ],
        "permissions": [
            {
                "user": user,
                "vhost": vhost,
                "configure": write if user == "guest" else "^$",
                "write": write,
                "read": ".*",
            }
            for (user, vhost), write in PERMISSIONS.items()
        ],
        "topic_permissions": [
            {"user": "writer", "vhost": "/", "exchange": "amq.topic", "write": "^open[.]", "read": ".*"}
        ],
        "exchanges": [
            {"name": "allowed", "vhost": "/", "type": "fanout", "durable": True, "auto_delete": False, "arguments": {}}
        ],
        "queues": [],
        "bindings": [],
    }


def _hash(password: str) -> str:
    salt = b"salt"
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], why: Callable[[], str]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        assert process.poll() is None, why()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(why())


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
