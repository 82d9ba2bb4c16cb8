"""The guard of a real client against a member that hangs."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from libs.etcd.client import Changes, EtcdClient, Snapshot
from libs.faults import Unavailable
from tests.etcd_server import EtcdServer, start_cluster
from tests.eventually import eventually
from tests.unit.etcd.replicas import running

pytestmark = pytest.mark.etcd
INTERVAL = timedelta(milliseconds=500)
FOLLOWERS = 40
# The guard needs up to 1.5 s. The transport alone needs 8 s.
LATEST_S = 4.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[EtcdServer]]:
    servers = start_cluster(tmp_path, 3)
    yield servers
    for server in servers:
        server.kill()


@asynccontextmanager
async def client_of(*servers: EtcdServer) -> AsyncIterator[EtcdClient]:
    """Prefers the first of the servers."""
    client = EtcdClient([server.endpoints[0] for server in servers])
    try:
        yield client
    finally:
        await client.close()


async def leader_last(servers: list[EtcdServer]) -> list[EtcdServer]:
    async with client_of(*servers) as client:
        while True:
            statuses = await client.statuses()
            if all(status.is_healthy for status in statuses):
                break
            await asyncio.sleep(0.05)
    leads = {status.endpoint: status.is_leader for status in statuses}
    return sorted(servers, key=lambda server: leads[server.endpoints[0]])


class Follower:
    def __init__(self, client: EtcdClient, prefix: bytes) -> None:
        self.seen: list[bytes] = []
        self.snapshots = 0
        self._client = client
        self._prefix = prefix

    async def run(self) -> None:
        async with aclosing(self._client.follow(self._prefix)) as updates:
            async for update in updates:
                match update:
                    case Snapshot():
                        self.snapshots += 1
                    case Changes():
                        self.seen.extend(event.value for event in update.events)


async def test_followers_leave_a_member_that_hangs_and_miss_nothing(cluster: list[EtcdServer]) -> None:
    hangs, other, leader = await leader_last(cluster)
    async with client_of(hangs, other, leader) as reader, client_of(leader) as writer, asyncio.timeout(40):
        followers = [Follower(reader, b"/a/%d/" % number) for number in range(FOLLOWERS)]
        async with running(reader.guard(INTERVAL), *(follower.run() for follower in followers)):
            await eventually(lambda: all(follower.snapshots for follower in followers))
            for number in range(FOLLOWERS):
                await writer.put(b"/a/%d/x" % number, b"before")
            await eventually(lambda: all(follower.seen == [b"before"] for follower in followers))
            hangs.pause()
            for number in range(FOLLOWERS):
                await writer.put(b"/a/%d/x" % number, b"after")
            began = time.monotonic()
            await eventually(lambda: all(follower.seen == [b"before", b"after"] for follower in followers))
            assert time.monotonic() - began < LATEST_S
            assert {follower.snapshots for follower in followers} == {1}
            hangs.resume()


async def test_a_member_that_answers_keeps_its_followers(cluster: list[EtcdServer]) -> None:
    first, other, leader = await leader_last(cluster)
    async with client_of(first, other, leader) as reader, asyncio.timeout(40):
        follower = Follower(reader, b"/a/")
        async with running(reader.guard(INTERVAL / 10), follower.run()):
            await eventually(lambda: follower.snapshots == 1)
            endpoint = reader._endpoints.all[0]
            await eventually(lambda: len(endpoint.readers) == 1)
            await asyncio.sleep(1)
            assert len(endpoint.readers) == 1
            await reader.put(b"/a/x", b"one")
            await eventually(lambda: follower.seen == [b"one"])


async def test_without_a_majority_followers_stay_and_go_on_when_there_is_one(cluster: list[EtcdServer]) -> None:
    first, other, leader = await leader_last(cluster)
    async with client_of(first, other, leader) as reader, asyncio.timeout(60):
        follower = Follower(reader, b"/a/")
        async with running(reader.guard(INTERVAL), follower.run()):
            await eventually(lambda: follower.snapshots == 1)
            other.pause()
            leader.pause()
            await asyncio.sleep(2)
            assert len(reader._endpoints.all[0].readers) == 1
            other.resume()
            leader.resume()
            await _eventually_put(reader, b"/a/x", b"one")
            await eventually(lambda: follower.seen[-1:] == [b"one"])
            assert follower.snapshots == 1


async def _eventually_put(client: EtcdClient, key: bytes, value: bytes) -> None:
    while True:
        with suppress(Unavailable):
            await client.put(key, value)
            return
