"""`python -m services.history` beside a real etcd: found in the mesh, killed, restarted, stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from chronos.history.v1.execution_service_pb2 import ListExecutionsRequest
from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceStub
from chronos.history.v1.ledger_service_pb2 import RecordRequest, RecordResponse
from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceStub

from libs.clock import SystemClock
from libs.etcd.api_keys import store_key
from libs.etcd.client import EtcdClient
from libs.etcd.membership import MemberWatch
from libs.log import get_logger
from libs.process import wait_first
from libs.rpc.channel import open_channel
from libs.rpc.credentials import new_key
from tests.component.history.messages import id_of, told
from tests.etcd_server import EtcdServer, start_etcd
from tests.postgres_server import PostgresServer, own_postgres

__all__ = ["own_postgres"]
pytestmark = pytest.mark.etcd
MESH_TOKEN = "a secret of the mesh"
PATIENCE_S = 20


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = start_etcd(tmp_path_factory.mktemp("etcd"))
    yield server
    server.stop()


@contextmanager
def running(etcd: EtcdServer, data_dir: Path, **settings: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CHRONOS_ETCD_ENDPOINTS": etcd.endpoints[0],
        "CHRONOS_MESH_TOKEN": MESH_TOKEN,
        "CHRONOS_DATA_DIR": str(data_dir),
        **settings,
    }
    command = [sys.executable, "-m", "services.history"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def address_of_history(etcd: EtcdServer) -> str:
    """Waits until one is announced."""
    client = EtcdClient(etcd.endpoints)
    watch, found = MemberWatch(client, "history"), ""

    async def find() -> None:
        nonlocal found
        seen = watch.version
        while not (found := next((member.address for member in watch.members.values()), "")):
            seen = await watch.changed(seen)

    try:
        async with asyncio.timeout(PATIENCE_S):
            await wait_first(find(), watch.run())
    finally:
        await client.close()
    return found


async def until_nobody_is_announced(etcd: EtcdServer) -> None:
    client = EtcdClient(etcd.endpoints)
    watch = MemberWatch(client, "history")

    async def find() -> None:
        seen = await watch.changed(0) if not watch.version else watch.version
        while watch.members:
            seen = await watch.changed(seen)

    try:
        async with asyncio.timeout(PATIENCE_S):
            await wait_first(find(), watch.run())
    finally:
        await client.close()


async def admit(etcd: EtcdServer) -> str:
    """A new API key that may read executions."""
    client = EtcdClient(etcd.endpoints)
    text, key = new_key("reader", ["execution:read"], ["default"], SystemClock())
    await client.wait_until_ready(get_logger())
    await store_key(client, key)
    await client.close()
    return text


async def listed(address: str, key: str) -> set[str]:
    """The ids of all executions."""
    ids: set[str] = set()
    async with open_channel(address) as channel:
        request = ListExecutionsRequest(page_size=1000)
        while not ids or request.page_token:
            page = await ExecutionServiceStub(channel).ListExecutions(request, metadata=(("x-api-key", key),))
            ids.update(found.id for found in page.executions)
            request.page_token = page.next_page_token
            if not page.executions:
                break
    return ids


async def record_until_killed(address: str, process: "subprocess.Popen[str]", after: int) -> set[str]:
    """Ids that were acknowledged, by a process that is killed while it works."""
    acknowledged: set[str] = set()
    sent: dict[int, list[str]] = {}
    async with open_channel(address, mesh_token=MESH_TOKEN) as channel:
        call = LedgerServiceStub(channel).Record(timeout=PATIENCE_S)

        async def send() -> None:
            number = 0
            while True:
                number += 1
                ids = range(number * 20, number * 20 + 20)
                sent[number] = [id_of(each) for each in ids]
                await call.write(RecordRequest(batch=number, records=[told(each, response="x" * 300) for each in ids]))

        async def read() -> None:
            while isinstance(answer := await call.read(), RecordResponse):
                acknowledged.update(sent.pop(answer.batch))
                if len(acknowledged) >= after and process.poll() is None:
                    process.send_signal(signal.SIGKILL)

        with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
            await wait_first(send(), read())
    return acknowledged


async def test_a_killed_process_comes_back_with_everything_it_acknowledged(etcd: EtcdServer, tmp_path: Path) -> None:
    key = await admit(etcd)
    with running(etcd, tmp_path) as process:
        acknowledged = await record_until_killed(await address_of_history(etcd), process, after=5_000)
    assert len(acknowledged) >= 5_000
    await until_nobody_is_announced(etcd)
    with running(etcd, tmp_path) as process:
        assert acknowledged - await listed(await address_of_history(etcd), key) == set()
        process.terminate()
        await until_nobody_is_announced(etcd)
        _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, log
    assert '"stopped"' in log


def test_a_damaged_ledger_stops_the_start_with_one_sentence(etcd: EtcdServer, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"no ledger at all" * 1000)
    with running(etcd, tmp_path) as process:
        _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    lines = log.splitlines()
    assert len(lines) == 1, log
    assert lines[0].startswith("history cannot start:")
    assert "backup" in lines[0]


async def test_replicas_on_one_postgres_share_what_they_acknowledge(
    etcd: EtcdServer, own_postgres: PostgresServer, tmp_path: Path
) -> None:
    key = await admit(etcd)
    url = own_postgres.create_database()
    with running(etcd, tmp_path, CHRONOS_LEDGER_URL=url) as first:
        acknowledged = await record_until_killed(await address_of_history(etcd), first, after=2_000)
    await until_nobody_is_announced(etcd)
    with running(etcd, tmp_path, CHRONOS_LEDGER_URL=url) as second:
        assert acknowledged - await listed(await address_of_history(etcd), key) == set()
        second.terminate()
        await until_nobody_is_announced(etcd)
        _, log = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, log
    assert not (tmp_path / "ledger.sqlite3").exists()


@pytest.mark.parametrize(
    ("url", "code", "problem"),
    [
        ("mysql://secret@host/db", 2, "must be postgresql://"),
        ("postgresql://secret@host", 2, "must be postgresql://"),
        ("nowhere", 1, "history cannot start: the ledger's database refuses"),
    ],
)
def test_a_database_that_cannot_be_used_stops_the_start_with_one_sentence(
    etcd: EtcdServer, own_postgres: PostgresServer, tmp_path: Path, url: str, code: int, problem: str
) -> None:
    with running(etcd, tmp_path, CHRONOS_LEDGER_URL=url if "/" in url else own_postgres.url(url)) as process:
        _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    lines = log.splitlines()
    assert len(lines) == 1, log
    assert problem in lines[0]
    assert "secret" not in lines[0]
