"""The real client against servers that die, hang, forget, and ask who is there."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from libs.clock import Clock
from libs.etcd.client import Changes, EtcdClient, EtcdTls, Put, Snapshot
from libs.faults import Unavailable
from tests.etcd_server import EtcdServer, ServerTls, start_cluster, start_etcd
from tests.eventually import eventually
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.etcd
DEAD = "127.0.0.1:1"


class CollectingLog:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append(event)

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append(event)


@asynccontextmanager
async def client_of(
    *endpoints: str, tls: EtcdTls | None = None, clock: Clock | None = None
) -> AsyncIterator[EtcdClient]:
    client = EtcdClient(endpoints, tls=tls, clock=clock)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[EtcdServer]]:
    servers = start_cluster(tmp_path, 3)
    yield servers
    for server in servers:
        server.kill()


async def eventually_put(client: EtcdClient, key: bytes, value: bytes) -> int:
    """Puts until it works, as one may with a put that is idempotent."""
    async with asyncio.timeout(15):
        while True:
            try:
                return await client.put(key, value)
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_a_dead_endpoint_does_not_stall_calls(own_etcd: EtcdServer) -> None:
    async with client_of(DEAD, *own_etcd.endpoints) as client, asyncio.timeout(5):
        await client.wait_until_ready(CollectingLog())
        for _ in range(50):
            await client.put(b"/a", b"one")
        assert await client.get(b"/a")
        assert [status.is_healthy for status in await client.statuses()] == [False, True]


async def test_without_any_server_calls_fail_soon(tmp_path: Path) -> None:
    async with client_of(DEAD) as client, asyncio.timeout(3):
        with pytest.raises(Unavailable) as caught:
            await client.get(b"/a")
        assert DEAD in caught.value.message
        with pytest.raises(Unavailable):
            await client.txn([], [Put(b"/a", b"")])
        [status] = await client.statuses()
        assert status.error


async def test_waiting_for_etcd_ends_when_it_comes(own_etcd: EtcdServer) -> None:
    own_etcd.kill()
    log = CollectingLog()
    async with client_of(*own_etcd.endpoints) as client, asyncio.timeout(20), asyncio.TaskGroup() as group:
        waiting = group.create_task(client.wait_until_ready(log))
        await eventually(lambda: bool(log.lines))
        assert not waiting.done()
        await asyncio.to_thread(own_etcd.restart)
        await waiting
    assert log.lines.count("waiting for etcd") in (1, 2, 3)


async def test_a_follower_goes_on_after_a_kill(own_etcd: EtcdServer) -> None:
    async with client_of(*own_etcd.endpoints) as client, asyncio.timeout(30):
        await client.wait_until_ready(CollectingLog())
        async with aclosing(client.follow(b"/a/")) as updates:
            assert isinstance(await anext(updates), Snapshot)
            for round_ in range(3):
                await eventually_put(client, b"/a/x", b"before %d" % round_)
                await anext(updates)
                await asyncio.to_thread(own_etcd.kill)
                await asyncio.to_thread(own_etcd.restart)
                await eventually_put(client, b"/a/x", b"after %d" % round_)
                changes = await anext(updates)
                assert isinstance(changes, Changes)
                assert changes.events[-1].value == b"after %d" % round_


async def test_a_follower_survives_the_compaction_of_what_it_missed(own_etcd: EtcdServer) -> None:
    clock = FakeClock()  # The follower stays away for as long as this clock stands.
    async with (
        client_of(*own_etcd.endpoints) as writer,
        client_of(*own_etcd.endpoints, clock=clock) as reader,
        asyncio.timeout(30),
        asyncio.TaskGroup() as group,
        aclosing(reader.follow(b"/a/")) as updates,
    ):
        await writer.wait_until_ready(CollectingLog())
        await writer.put(b"/a/old", b"")
        assert isinstance(await anext(updates), Snapshot)
        following = group.create_task(anext(updates))
        await asyncio.to_thread(own_etcd.restart)
        await eventually_put(writer, b"/a/new", b"1")
        await writer.delete(b"/a/old")
        await writer.compact(await writer.put(b"/a/new", b"2"))
        while not following.done():
            await clock.advance(timedelta(seconds=1))
            await asyncio.sleep(0.01)
        snapshot = following.result()
        assert isinstance(snapshot, Snapshot)
        assert [(item.key, item.value) for item in snapshot.items] == [(b"/a/new", b"2")]
        await writer.put(b"/a/new", b"3")
        changes = await anext(updates)
        assert isinstance(changes, Changes)
        assert changes.events[0].value == b"3"


async def test_a_follower_gets_a_transaction_too_large_for_one_message_in_one_piece(own_etcd: EtcdServer) -> None:
    async with client_of(*own_etcd.endpoints) as client, asyncio.timeout(30):
        await client.wait_until_ready(CollectingLog())
        async with aclosing(client.follow(b"/a/")) as updates:
            first = await anext(updates)
            revision = await client.put(b"/b/unrelated", b"")
            for i in range(5):
                revision = (
                    await client.txn([], [Put(b"/a/%d/%d" % (i, part), bytes(45_000)) for part in range(30)])
                ).revision
            sizes = []
            while first.revision < revision:
                first = await anext(updates)
                assert isinstance(first, Changes)
                sizes.append(len(first.events))
            assert sum(sizes) == 150
            assert all(size % 30 == 0 for size in sizes)


async def test_a_cluster_goes_on_without_any_one_member(cluster: list[EtcdServer]) -> None:
    endpoints = [server.endpoints[0] for server in cluster]
    async with client_of(*endpoints) as client, asyncio.timeout(60):
        await client.wait_until_ready(CollectingLog())
        async with aclosing(client.follow(b"/a/")) as updates:
            await anext(updates)
            for i, server in enumerate(cluster):
                await asyncio.to_thread(server.kill)
                await eventually_put(client, b"/a/x", b"%d" % i)
                found = await client.get(b"/a/x")
                assert found is not None
                assert found.value == b"%d" % i
                seen = b""
                while seen != b"%d" % i:
                    changes = await anext(updates)
                    assert isinstance(changes, Changes)
                    seen = changes.events[-1].value
                await asyncio.to_thread(server.restart)
                await everyone_is_healthy(client)


async def everyone_is_healthy(client: EtcdClient) -> None:
    while True:
        if all(status.is_healthy for status in await client.statuses()):
            return
        await asyncio.sleep(0.05)


async def test_a_member_that_hangs_is_left_for_another(cluster: list[EtcdServer]) -> None:
    endpoints = [server.endpoints[0] for server in cluster]
    async with client_of(*endpoints) as early, asyncio.timeout(20):
        await early.wait_until_ready(CollectingLog())
        await everyone_is_healthy(early)
    async with client_of(*endpoints) as client, asyncio.timeout(60), aclosing(client.follow(b"/a/")) as updates:
        lease = await client.grant(timedelta(seconds=30))  # By the first member, like all that follows.
        await anext(updates)
        await client.put(b"/a/x", b"one")
        await anext(updates)
        cluster[0].pause()
        try:
            with pytest.raises(Unavailable):
                await client.keep_alive(lease, timeout=timedelta(milliseconds=300))
            # The one that hangs may have been the leader, so a call of its followers can run into its deadline.
            await eventually_put(client, b"/a/x", b"two")
            assert await client.keep_alive(lease)
            changes = await anext(updates)  # When the transport has found out that nobody is there.
            assert isinstance(changes, Changes)
            assert changes.events[-1].value == b"two"
        finally:
            cluster[0].resume()


async def test_a_hundred_and_thirty_followers_share_a_client(own_etcd: EtcdServer) -> None:
    async with client_of(*own_etcd.endpoints) as client, asyncio.timeout(30):
        await client.wait_until_ready(CollectingLog())
        listed: list[int] = []
        seen: list[int] = []

        async def follow(number: int) -> None:
            async with aclosing(client.follow(b"/a/%d/" % number)) as updates:
                await anext(updates)
                listed.append(number)
                await anext(updates)
                seen.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(130):
                group.create_task(follow(number))
            await eventually(lambda: len(listed) == 130)
            await asyncio.to_thread(own_etcd.restart)
            for number in range(130):
                await eventually_put(client, b"/a/%d/x" % number, b"")
        assert sorted(seen) == list(range(130))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_etcd(tmp_path: Path, authority: trustme.CA) -> Iterator[EtcdServer]:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    cert = authority.issue_cert("127.0.0.1", "localhost")
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    cert.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = ServerTls(ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem")
    server = start_etcd(tmp_path, tls=tls)
    yield server
    server.stop()


async def test_mutual_tls(secure_etcd: EtcdServer, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem")]
    async with client_of(*secure_etcd.endpoints, tls=EtcdTls.of_files(*names)) as client, asyncio.timeout(20):
        await client.wait_until_ready(CollectingLog())
        await client.put(b"/a", b"secret")
        assert await client.get(b"/a")
        async with aclosing(client.follow(b"/a")) as updates:
            assert isinstance(await anext(updates), Snapshot)


async def test_a_server_that_wants_tls_is_not_reached_without(secure_etcd: EtcdServer, tmp_path: Path) -> None:
    ca = str(tmp_path / "ca.pem")
    async with asyncio.timeout(20):
        for tls in (None, EtcdTls(ca_file=ca)):
            async with client_of(*secure_etcd.endpoints, tls=tls) as client:
                with pytest.raises(Unavailable):
                    await client.get(b"/a")


def test_no_ca_file_means_plain_text() -> None:
    assert EtcdTls.of_files("", "", "") is None
