"""A real Apache Kafka broker for tests: one process, its own controller, all kinds of listeners on loopback."""

import atexit
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.servers.kafka_jars import fetch_jars

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
JAVA = ["java", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
PROTOCOLS = {
    "plain": "PLAINTEXT",
    "sasl": "SASL_PLAINTEXT",
    "tls": "SSL",
    "mtls": "SSL",
    "sasltls": "SASL_SSL",
    "elsewhere": "PLAINTEXT",
    "proxied": "PLAINTEXT",
    "controller": "PLAINTEXT",
}
"""The listeners. At `elsewhere` the broker says that it is to be found at ELSEWHERE, at `proxied` at `proxy_port`."""
ELSEWHERE = "10.255.255.1:9092"
USER, PASSWORD = "writer", "writer-secret"
STRANGER, STRANGERS_PASSWORD = "stranger", "stranger-secret"
"""Known to the broker, and allowed nothing."""
SERVER_NAME = "kafka.test"
CLUSTER = "Y2hyb25vcy10ZXN0cy0wMA"


class KafkaServer:
    """One broker under `directory`. `start` after `kill` keeps ports and data. `ca` signs what it shows and trusts.

    It is its own controller, or one more broker under the controller of `first`.
    """

    def __init__(
        self,
        directory: Path,
        jars: Path,
        settings: Mapping[str, str] | None = None,
        first: "KafkaServer | None" = None,
    ) -> None:
        self.ca = trustme.CA()
        self._directory = directory
        self._jars = jars
        self._settings = dict(settings or {})
        self._first = first
        self._ports = dict(zip(PROTOCOLS, _free_ports(len(PROTOCOLS)), strict=True))
        (self.proxy_port,) = _free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def broker(self, listener: str = "plain") -> str:
        """Host and port of a listener."""
        return f"127.0.0.1:{self._ports[listener]}"

    def start(self) -> None:
        """Makes the data directory when there is none, starts the broker and waits until it listens."""
        if not (self._directory / "server.properties").exists():
            self._initialize()
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(self._directory / "server.properties")],
                stdout=log,
                stderr=log,
                cwd=self._directory,
            )
        end = time.monotonic() + START_TIMEOUT_S
        while not self._is_listening():
            assert self._process.poll() is None, self._log()
            assert time.monotonic() < end, self._log()
            time.sleep(0.05)

    def stop(self) -> None:
        """Lets it end in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no goodbye, and what it did not write is gone."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It is there, and answers nothing. Returns when each of its threads has stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self._process.pid}/task")
        end = time.monotonic() + STOP_TIMEOUT_S
        while any(_state(thread) != "T" for thread in threads.iterdir()):
            assert time.monotonic() < end, "the broker cannot be stopped"
            time.sleep(0.005)

    def resume(self) -> None:
        """It answers again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _is_listening(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._ports["plain"]), 1):
            return True
        return False

    def _java(self) -> list[str]:
        return [*JAVA, "-cp", f"{self._jars}/*"]

    def _initialize(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._write_certificates()
        path = self._directory / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
        command = [*self._java(), "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(path)]
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            command += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
        done = subprocess.run(command, cwd=self._directory, capture_output=True, text=True, timeout=START_TIMEOUT_S)
        assert done.returncode == 0, done.stdout + done.stderr

    def _properties(self) -> dict[str, str]:
        listeners = {name: f"{name.upper()}://127.0.0.1:{port}" for name, port in self._ports.items()}
        advertised = {name: at for name, at in listeners.items() if name != "controller"}
        if self._first is not None:
            del listeners["controller"]
        advertised["elsewhere"] = f"ELSEWHERE://{ELSEWHERE}"
        advertised["proxied"] = f"PROXIED://127.0.0.1:{self.proxy_port}"
        users = f'user_{USER}="{PASSWORD}" user_{STRANGER}="{STRANGERS_PASSWORD}"'
        properties = {
            "process.roles": "broker,controller" if self._first is None else "broker",
            "node.id": "1" if self._first is None else "2",
            "controller.quorum.voters": f"1@{(self._first or self).broker('controller')}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "listeners": ",".join(listeners.values()),
            "advertised.listeners": ",".join(advertised.values()),
            "listener.security.protocol.map": ",".join(f"{name.upper()}:{how}" for name, how in PROTOCOLS.items()),
            "log.dirs": str(self._directory / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "group.initial.rebalance.delay.ms": "0",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{USER};User:client",
            "ssl.principal.mapping.rules": "RULE:^.*$/client/",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._directory / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._directory / "ca.pem"),
            "listener.name.mtls.ssl.client.auth": "required",
        }
        for listener in ("sasl", "sasltls"):
            prefix = f"listener.name.{listener}"
            properties[f"{prefix}.plain.sasl.jaas.config"] = (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
            )
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                properties[f"{prefix}.{mechanism}.sasl.jaas.config"] = (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                )
        return properties | self._settings

    def _write_certificates(self) -> None:
        certificate = self.ca.issue_cert(SERVER_NAME, "127.0.0.1")
        key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        # Java reads no other form.
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        pem += "".join(each.bytes().decode() for each in certificate.cert_chain_pems)
        (self._directory / "server.pem").write_text(pem)
        (self._directory / "ca.pem").write_bytes(self.ca.cert_pem.bytes())

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)

    def _log(self) -> str:
        return (self._directory / "log").read_text()[-4000:]


@cache
def shared_kafka() -> KafkaServer:
    """One broker for the whole session, which ends with it; make a topic for each test."""
    return start_kafka()


def start_kafka(settings: Mapping[str, str] | None = None, first: KafkaServer | None = None) -> KafkaServer:
    """A broker in a temporary directory, which goes with the process. Skips the test where it cannot be had."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; Kafka's broker needs it")
    try:
        jars = fetch_jars()
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"Kafka's broker cannot be had: {error}")
    directory = Path(tempfile.mkdtemp(prefix="chronos-kafka-"))
    server = KafkaServer(directory, jars, settings, first)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)
    server.start()
    return server


def _state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@pytest.fixture
def kafka() -> KafkaServer:
    """The broker of the session."""
    return shared_kafka()


@pytest.fixture
def own_kafka() -> Iterator[KafkaServer]:
    """A broker of the test's own, to pause and kill."""
    server = start_kafka()
    yield server
    server.stop()


@pytest.fixture
def kafka_pair() -> Iterator[tuple[KafkaServer, KafkaServer]]:
    """A cluster of two brokers that soon notice when one of them is gone; the first is the controller."""
    quick = {"broker.heartbeat.interval.ms": "500", "broker.session.timeout.ms": "2500"}
    first = start_kafka(quick)
    second = start_kafka(quick, first)
    yield first, second
    second.kill()
    first.stop()
