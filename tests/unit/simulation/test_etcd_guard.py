import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from libs.faults import Unavailable
from tests.simulation.etcd import MEMBERS, SimEtcdClient
from tests.unit.etcd.replicas import running
from tests.unit.simulation.etcd_rig import Rig, Updates, eventually_put, gathered, now, values
from tests.unit.simulation.rig import simulated

INTERVAL = timedelta(milliseconds=500)
LATEST = 2.0
"""Three intervals, and what it takes to go elsewhere."""


@asynccontextmanager
async def guarded(client: SimEtcdClient, prefix: bytes) -> AsyncIterator[Updates]:
    async with running(client.guard(INTERVAL)), gathered(client, prefix) as updates:
        yield updates


async def told_within(updates: Updates, value: bytes) -> float:
    """The seconds until a follower sees a value."""
    began = now()
    while value not in values(updates):
        await updates.reach(len(updates) + 1)
    return now() - began


@simulated
async def test_a_follower_leaves_a_member_that_is_paused() -> None:
    rig = Rig()
    writer, reader = rig.client("w"), rig.client("r", member=1)
    async with guarded(reader, b"/a") as updates:
        for round_ in range(5):
            paused = reader._lines[reader._preferred].address.partition(":")[0]
            rig.etcd.pause(paused)
            await eventually_put(writer, b"/a", b"%d" % round_)
            assert await told_within(updates, b"%d" % round_) < LATEST
            rig.etcd.resume(paused)
            await asyncio.sleep(5)


@simulated
async def test_a_follower_leaves_a_member_that_its_machine_does_not_reach_any_more() -> None:
    rig = Rig()
    writer, reader = rig.client("w"), rig.client("r", member=1)
    async with guarded(reader, b"/a") as updates:
        await asyncio.sleep(3)
        rig.network.partition(["r"], ["etcd-1"])
        await writer.put(b"/a", b"one")
        assert await told_within(updates, b"one") < LATEST


@simulated
async def test_a_follower_cut_off_from_two_members_finds_the_third() -> None:
    rig = Rig()
    writer, reader = rig.client("w"), rig.client("r", member=0)
    for _ in MEMBERS:  # Connected to all of them.
        assert await reader._lines[reader._preferred].connects()
        reader._demote(reader._lines[reader._preferred])
    async with guarded(reader, b"/a") as updates:
        await asyncio.sleep(3)
        rig.network.partition(["r"], ["etcd-0", "etcd-1"])
        await writer.put(b"/a", b"one")
        assert await told_within(updates, b"one") < LATEST


@simulated
async def test_a_follower_leaves_a_member_that_is_far_behind() -> None:
    rig = Rig()
    writer, reader = rig.client("w"), rig.client("r", member=1)
    async with guarded(reader, b"/a") as updates:
        await asyncio.sleep(3)
        rig.etcd.lag("etcd-1", 10.0)
        await writer.put(b"/a", b"one")
        assert await told_within(updates, b"one") < LATEST


@simulated
async def test_a_follower_leaves_a_member_that_is_cut_off_from_the_others() -> None:
    rig = Rig()
    writer, reader = rig.client("w"), rig.client("r", member=1)
    async with guarded(reader, b"/a") as updates:
        await asyncio.sleep(3)
        rig.isolate("etcd-1")
        await writer.put(b"/a", b"one")
        assert await told_within(updates, b"one") < LATEST


@simulated
async def test_nothing_moves_while_a_leader_is_elected() -> None:
    rig = Rig()
    reader = rig.client("r", member=1)
    async with guarded(reader, b"/a") as updates:
        await asyncio.sleep(3)
        rig.etcd.lose_leader()
        await asyncio.sleep(5)
        assert len(rig.etcd.watches.of(rig.etcd.members.named("etcd-1"))) == 1
        await eventually_put(reader, b"/a", b"one")
        assert await told_within(updates, b"one") < LATEST


@simulated
async def test_a_guard_outlives_a_cluster_that_is_down() -> None:
    rig = Rig()
    reader = rig.client("r")
    async with guarded(reader, b"/a") as updates:
        for name in MEMBERS:
            rig.etcd.kill(name)
        await asyncio.sleep(10)
        with pytest.raises(Unavailable):
            await reader.get(b"/a")
        for name in MEMBERS:
            rig.etcd.restart(name)
        await eventually_put(reader, b"/a", b"one")
        assert await told_within(updates, b"one") < LATEST
