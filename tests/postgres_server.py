"""A real PostgreSQL server for tests, on a free loopback port, with its data in a directory of its own."""

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
USERS = ("postgres", "nobody")
"""Who runs the server when root starts it: PostgreSQL refuses root."""
NO_DISK = {"fsync": "off", "full_page_writes": "off"}
"""For tests that never cut the power: what is written outlives the server, not the machine."""


def find_binary(name: str) -> str | None:
    """The path of one of PostgreSQL's programs, the newest there is; None when none is installed."""
    releases = [each for each in Path("/usr/lib/postgresql").glob("*/bin") if each.parent.name.isdecimal()]
    newest = sorted(releases, key=lambda each: int(each.parent.name), reverse=True)
    return next((found for found in (shutil.which(name, path=str(each)) for each in newest) if found), None) or (
        shutil.which(name)
    )


class PostgresServer:
    """One PostgreSQL server under `directory`, which is made when absent. `start` after `stop` keeps port and data."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._settings = dict(settings or {})
        self._user = _user()
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the postmaster; the server's other processes end with it."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """On 127.0.0.1; known once started."""
        return self._port

    def url(self, database: str = "postgres") -> str:
        """For `ledger_url`. The database must have been created, but for `postgres`."""
        return f"postgresql://chronos@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Makes the data directory when there is none, starts the server and waits until it answers."""
        if not (self._directory / "data").exists():
            self._initialize()
        self._port = self._port or _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "100",
            **self._settings,
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_binary("postgres"), "-D", str(self._directory / "data"), *flags],
                stdout=log,
                stderr=log,
                cwd=self._directory,
                user=self._user,
                group=self._group,
            )
        self._wait()

    def stop(self) -> None:
        """A fast shutdown: sessions are ended, everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to every process of it: no goodbye; the next start recovers from the log."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        self._end(signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        for child in children:
            while Path(f"/proc/{child}/stat").exists() and _is_of_postgres(child):
                time.sleep(0.01)

    def create_database(self, name: str = "") -> str:
        """Makes an empty database and gives its URL."""
        name = name or f"t{uuid.uuid4().hex}"
        self._psql("postgres", f'CREATE DATABASE "{name}"')
        return self.url(name)

    def create_schema(self) -> str:
        """Makes an empty schema in `postgres` and gives a URL that works in it; cheaper than a database."""
        name = f"s{uuid.uuid4().hex}"
        self._psql("postgres", f"CREATE SCHEMA {name}")
        return f"{self.url()}?search_path={name}"

    @property
    def _group(self) -> int | None:
        return None if self._user is None else pwd.getpwuid(self._user).pw_gid

    def _initialize(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self._directory, self._user, self._group or 0)
            _let_through(self._directory)
        command = [_binary("initdb"), "-D", str(self._directory / "data"), "-U", "chronos", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            command, cwd=self._directory, user=self._user, group=self._group, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            assert self._process.poll() is None, self._log()
            command = [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port), "-t", "2"]
            if subprocess.run(command).returncode == 0:
                return
            time.sleep(0.05)
        raise TimeoutError(self._log())

    def _psql(self, database: str, statement: str) -> None:
        command = [_binary("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", statement]
        subprocess.run(command, check=True, capture_output=True)

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
def shared_postgres() -> PostgresServer:
    """One server for the whole session, which ends with it; make a database for each test."""
    return start_postgres(NO_DISK)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of the test's own, to stop and kill."""
    server = start_postgres(NO_DISK)
    yield server
    server.stop()


def start_postgres(settings: Mapping[str, str]) -> PostgresServer:
    """A server in a temporary directory, which goes with the process. Skips the test when none is installed."""
    if find_binary("initdb") is None:
        pytest.skip("no PostgreSQL is installed")
    directory = Path(tempfile.mkdtemp(prefix="chronos-postgres-"))
    server = PostgresServer(directory, settings)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)
    server.start()
    return server


def _binary(name: str) -> str:
    found = find_binary(name)
    if found is None:
        raise FileNotFoundError(f"{name}: install PostgreSQL")
    return found


def _is_of_postgres(pid: str) -> bool:
    with contextlib.suppress(OSError):
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        return name.startswith("postgres") and rest.split()[0] != "Z"
    return False


def _user() -> int | None:
    """Whom to run the server as; None means as ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return next(known[name] for name in USERS if name in known)


def _let_through(directory: Path) -> None:
    """Lets the server's user pass the folders above: those of tests are their owner's only."""
    for folder in directory.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
