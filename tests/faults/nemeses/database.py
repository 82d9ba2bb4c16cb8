"""What happens to the ledger's database."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.faults.layout import POSTGRES, Layout
from tests.faults.nemeses.nemesis import Nemesis, always
from tests.faults.small_disk import filled
from tests.postgres_server import PostgresServer


async def kill_backend(cluster: Cluster, nodes: tuple[str, ...], seconds: float) -> tuple[str, ...]:
    """kill -9 to one of the database's processes that serve a client: it drops all connections and recovers."""
    backends = [pid for pid in _children(_server(cluster)) if _title(pid).count("chronos")]
    if backends:
        with contextlib.suppress(ProcessLookupError):
            os.kill(backends[0], signal.SIGKILL)
    await asyncio.sleep(1)
    return nodes


async def kill_server(cluster: Cluster, nodes: tuple[str, ...], seconds: float) -> tuple[str, ...]:
    """kill -9 to all of it; started again after `seconds`."""
    server = _server(cluster)
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.start)
    return nodes


async def pause_server(cluster: Cluster, nodes: tuple[str, ...], seconds: float) -> tuple[str, ...]:
    """SIGSTOP to every process of it, then SIGCONT."""
    server = _server(cluster)
    pids = (server.pid, *_children(server))
    try:
        _all(pids, signal.SIGSTOP)
        await asyncio.sleep(seconds)
    finally:
        _all(pids, signal.SIGCONT)
    return nodes


async def fill_disk(cluster: Cluster, nodes: tuple[str, ...], seconds: float) -> tuple[str, ...]:
    """No byte is left on the disk of the database. If that ends the database, it is started again afterwards."""
    server = _server(cluster)
    with filled(cluster.data_dir.parent / POSTGRES):
        await asyncio.sleep(seconds)
    if _is_over(server.pid):
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
    return nodes


def _server(cluster: Cluster) -> PostgresServer:
    assert cluster.postgres is not None, "chosen although there is no PostgreSQL"
    return cluster.postgres


def _children(server: PostgresServer) -> tuple[int, ...]:
    return tuple(map(int, Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()))


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _is_over(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _all(pids: tuple[int, ...], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _has_postgres(layout: Layout) -> bool:
    return layout.has_postgres


KINDS = (
    Nemesis(
        kind="kill-postgres-backend",
        choose=always(POSTGRES),
        strike=kill_backend,
        is_possible=_has_postgres,
    ),
    Nemesis(kind="kill-postgres", choose=always(POSTGRES), strike=kill_server, is_possible=_has_postgres),
    Nemesis(kind="pause-postgres", choose=always(POSTGRES), strike=pause_server, is_possible=_has_postgres),
    Nemesis(
        kind="full-disk",
        choose=always(POSTGRES),
        strike=fill_disk,
        is_possible=lambda layout: layout.has_postgres and layout.has_small_disk,
    ),
)
