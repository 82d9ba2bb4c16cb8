"""Three replicas share shards through a real etcd, in real time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from libs.clock import SystemClock
from libs.etcd.client import EtcdClient
from tests.etcd_server import EtcdServer
from tests.eventually import eventually
from tests.unit.etcd.replicas import TTL, Replica, all_owned_once, running

pytestmark = pytest.mark.etcd
SHARDS = 64


@pytest.fixture
async def replicas(own_etcd: EtcdServer) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        clients = [EtcdClient(own_etcd.endpoints) for _ in range(3)]
        for client in clients:
            stack.push_async_callback(client.close)
        yield [Replica(client, SystemClock(), f"scheduler-{i}", shard_count=SHARDS) for i, client in enumerate(clients)]


async def test_replicas_share_take_over_and_hand_over(replicas: list[Replica]) -> None:
    one, two, three = replicas
    clock = SystemClock()
    async with asyncio.timeout(60), running(one.run(), two.run()):
        async with running(three.run()):
            await eventually(lambda: all_owned_once(replicas, SHARDS) and all(each.owned for each in replicas))
            assert all(SHARDS / 3 / 2 < len(each.owned) < SHARDS / 3 * 1.5 for each in replicas)
        # It was cancelled without a goodbye, so its shards are free when its lease ends.
        died_at = clock.monotonic()
        await eventually(lambda: all_owned_once([one, two], SHARDS))
        assert clock.monotonic() - died_at < TTL.total_seconds() + 2

        started_at = clock.monotonic()
        await two.ownership.hand_over()
        await eventually(lambda: all_owned_once([one], SHARDS))
        assert clock.monotonic() - started_at < TTL.total_seconds() / 2
        assert not two.ownership.claims


async def test_a_killed_etcd_costs_ownership_only_for_its_absence(
    own_etcd: EtcdServer, replicas: list[Replica]
) -> None:
    async with asyncio.timeout(60), running(*(each.run() for each in replicas)):
        await eventually(lambda: all_owned_once(replicas, SHARDS))
        held = [claim for each in replicas for claim in each.ownership.claims.values()]
        await asyncio.to_thread(own_etcd.kill)
        await eventually(lambda: not any(each.owned for each in replicas), TTL / timedelta(seconds=1) + 0.5)
        await asyncio.to_thread(own_etcd.restart)
        await eventually(lambda: all_owned_once(replicas, SHARDS), 20)
        epochs = {claim.shard: claim.epoch for each in replicas for claim in each.ownership.claims.values()}
        assert all(epochs[claim.shard] > claim.epoch for claim in held)
