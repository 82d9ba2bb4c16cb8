"""A real mesh, started by `chronos up`, every link of which goes through a proxy that can be cut."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cli.chronos.health import check
from cli.chronos.ports import address, ports_of
from cli.chronos.state import ProcessState, load
from tests.e2e.mesh import free_base
from tests.faults.layout import POSTGRES, RECEIVER, Layout
from tests.faults.links import Rule
from tests.faults.sidecar import ROOT, Sidecar
from tests.postgres_server import PostgresServer, find_binary

UP_WITHIN_S = 120.0
DOWN_WITHIN_S = 90.0
BACK_WITHIN_S = 60.0
POLL_S = 0.05
UP = "Chronos is up"
POSTGRES_SETTINGS = {"max_wal_size": "96MB", "min_wal_size": "32MB", "checkpoint_timeout": "30s"}
ENDPOINT = f"{RECEIVER}/http"


@dataclass(slots=True, kw_only=True)
class Cluster:
    """The mesh and what stands around it. `links` are the addresses of the proxies by their names."""

    layout: Layout
    data_dir: Path
    base: int
    proxies: Sidecar
    receiver: Sidecar
    postgres: PostgresServer | None
    links: dict[str, str] = field(default_factory=dict)
    api_key: str = ""
    _rules: list[tuple[Rule, ...]] = field(default_factory=list)

    @property
    def edge(self) -> str:
        """Where callers reach the mesh."""
        return f"http://{address(self.base)}"

    def api(self, timeout_s: float = 5.0) -> httpx.AsyncClient:
        """A client for REST calls with the first API key."""
        headers = {"X-API-Key": self.api_key}
        return httpx.AsyncClient(base_url=self.edge, headers=headers, timeout=timeout_s, trust_env=False)

    def processes(self) -> dict[str, ProcessState]:
        """Every process by its replica, as the supervisor wrote it down."""
        state = load(self.data_dir)
        return {process.replica: process for process in state.processes} if state else {}

    def pid(self, replica: str) -> int | None:
        """The process of a replica, None while it is being started again."""
        return self.processes()[replica].pid

    def signal(self, replica: str, number: signal.Signals) -> int | None:
        """Sends a signal, and gives the process that got it."""
        pid = self.pid(replica)
        if pid is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    async def back(self, replica: str, old_pid: int | None) -> None:
        """Waits until another process than `old_pid` is healthy. Raises TimeoutError after a minute."""
        async with asyncio.timeout(BACK_WITHIN_S):
            while True:
                process = self.processes()[replica]
                if process.pid not in (None, old_pid) and (await check(process.probe)).is_healthy:
                    return
                await asyncio.sleep(4 * POLL_S)

    @asynccontextmanager
    async def rules(self, rules: Iterable[Rule]) -> AsyncIterator[None]:
        """Has rules for the links in force inside the block, beside those of others."""
        mine = tuple(rules)
        self._rules.append(mine)
        await self._tell_rules()
        try:
            yield
        finally:
            self._rules.remove(mine)
            await self._tell_rules()

    async def no_rules(self) -> None:
        """Everything is connected again."""
        self._rules.clear()
        await self._tell_rules()

    async def _tell_rules(self) -> None:
        await self.proxies.order({"rules": [rule.as_json() for group in self._rules for rule in group]})


@asynccontextmanager
async def running_cluster(
    layout: Layout, folder: Path, *, flags: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> AsyncIterator[Cluster]:
    """Starts everything in `folder`; at the end nothing of it runs."""
    data_dir = folder / "mesh"
    data_dir.mkdir(parents=True, exist_ok=True)
    async with (
        Sidecar("tests.faults.receiver", str(folder / "arrivals.jsonl"), log=folder / "receiver.log") as receiver,
        Sidecar("tests.faults.proxies", str(data_dir / "mesh.json"), log=folder / "proxies.log") as proxies,
    ):
        with _database(layout, folder) as (postgres, url):
            cluster = Cluster(
                layout=layout,
                data_dir=data_dir,
                base=free_base(),
                proxies=proxies,
                receiver=receiver,
                postgres=postgres,
            )
            target = (await receiver.order({"address": True}))["address"]
            cluster.links = await proxies.order({"listen": _links(cluster, target)})
            log = folder / "up.log"
            with _mesh(cluster, url, flags, log, environment or {}) as mesh:
                await _up(mesh, log)
                cluster.api_key = (data_dir / "admin.key").read_text().strip()
                yield cluster


@contextlib.contextmanager
def _database(layout: Layout, folder: Path) -> Iterator[tuple[PostgresServer | None, str]]:
    if not layout.has_postgres:
        yield None, ""
        return
    if find_binary("postgres") is None:
        raise RuntimeError("there is no PostgreSQL here: install its server (Debian: postgresql), or pass --sqlite")
    server = PostgresServer(folder / POSTGRES, POSTGRES_SETTINGS)
    server.start()
    try:
        yield server, server.create_database("ledger")
    finally:
        server.stop()


@contextlib.contextmanager
def _mesh(
    cluster: Cluster, url: str, flags: tuple[str, ...], log: Path, environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "cli.chronos", "up", "--data-dir", str(cluster.data_dir)]
    command += ["--port-base", str(cluster.base), *_flags(cluster, url), *flags]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOS_")}
    with log.open("wb") as output:
        mesh = subprocess.Popen(
            command, cwd=ROOT, env=clean | environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield mesh
    finally:
        for process in cluster.processes().values():
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
        mesh.send_signal(signal.SIGTERM)
        try:
            mesh.wait(DOWN_WITHIN_S)
        except subprocess.TimeoutExpired:
            mesh.kill()
            mesh.wait()


def _links(cluster: Cluster, receiver: str) -> dict[str, str]:
    """What each proxy stands for: its name, and the true address."""
    layout = cluster.layout

    def port(replica: str, use: str) -> str:
        name, _, index = replica.rpartition("-")
        return address(ports_of(name, int(index), cluster.base)[use])

    links = {f"{service}/grpc": port(service, "grpc") for service in layout.services}
    for member in layout.members:
        links |= {f"{member}/client": port(member, "client"), f"{member}/peer": port(member, "peer")}
    if cluster.postgres is not None:
        links[f"{POSTGRES}/sql"] = address(cluster.postgres.port)
    return {**links, ENDPOINT: receiver}


def _flags(cluster: Cluster, url: str) -> list[str]:
    layout, links = cluster.layout, cluster.links
    names = ("scheduler", "dispatcher", "history", "policy")
    settings = {f"{service}.advertise": links[f"{service}/grpc"] for service in layout.services}
    settings["*.etcd_endpoints"] = ",".join(links[f"{member}/client"] for member in layout.members)
    settings |= {f"{member}.peer_advertise": links[f"{member}/peer"] for member in layout.members}
    flags = ["--etcd", str(layout.etcd_members), "--lease-ttl", "2s"]
    flags += ["--replicas", ",".join(f"{name}={len(layout.of(name))}" for name in names)]
    if cluster.postgres is not None:
        real = address(cluster.postgres.port)
        flags += ["--postgres", url.replace(real, links[f"{POSTGRES}/sql"])]
    return flags + [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


async def _up(mesh: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while UP not in (text := await asyncio.to_thread(log.read_text)):
        if mesh.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the mesh does not come up:\n{text[-3000:]}")
        await asyncio.sleep(POLL_S)


async def status_of(cluster: Cluster) -> dict[str, Any]:
    """What the gateway says about the cluster, empty when it says nothing."""
    try:
        async with cluster.api() as api:
            answer = await api.get("/api/v1/cluster/status")
            return dict(answer.json()) if answer.status_code == 200 else {}
    except (httpx.HTTPError, json.JSONDecodeError):
        return {}
