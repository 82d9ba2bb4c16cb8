import asyncio
import random
from collections.abc import Coroutine
from datetime import timedelta

import pytest

from libs.etcd.client import Changes, Compacted, Compare, LeaseLost, Put
from libs.faults import Unavailable
from tests.simulation.etcd import MEMBERS, EtcdConditions, SimEtcdClient
from tests.simulation.loop import SimLoop, life_of, new_life, start_task
from tests.unit.simulation.etcd_rig import Rig, eventually_put, gathered, now
from tests.unit.simulation.rig import simulated

TTL = timedelta(seconds=10)


@simulated
async def test_reads_go_on_when_a_member_dies() -> None:
    rig = Rig()
    client = rig.client(member=1)
    await client.put(b"/a", b"one")
    rig.etcd.kill("etcd-1")
    began = now()
    found = await client.get(b"/a")
    assert found is not None
    assert found.value == b"one"
    assert now() - began < 1.0
    rig.etcd.restart("etcd-1")
    assert [status.is_healthy for status in await client.statuses()] == [True, True, True]


@simulated
async def test_after_the_leaders_death_another_is_elected_within_seconds() -> None:
    rig = Rig()
    client = rig.client(member=1)
    await client.put(b"/a", b"one")
    rig.etcd.kill(rig.leader())
    began = now()
    await eventually_put(client, b"/a", b"two")
    assert 0.5 < now() - began < 10.0
    assert rig.leader() != "etcd-0"
    assert [status.is_leader for status in await client.statuses()].count(True) == 1


@simulated
async def test_without_a_majority_nothing_is_served() -> None:
    rig = Rig()
    client = rig.client(member=2)
    await client.put(b"/a", b"one")
    rig.etcd.kill("etcd-0")
    rig.etcd.kill("etcd-1")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await client.get(b"/a")
        with pytest.raises(Unavailable):
            await client.put(b"/a", b"two")
    rig.etcd.restart("etcd-0")
    await asyncio.sleep(10)
    found = await client.get(b"/a")
    assert found is not None


@simulated
async def test_a_member_that_is_cut_off_refuses_and_clients_go_elsewhere() -> None:
    rig = Rig()
    client = rig.client(member=0)
    await client.put(b"/a", b"one")
    rig.isolate("etcd-0")
    began = now()
    await eventually_put(client, b"/a", b"two")
    assert now() - began < 15
    assert rig.leader() != "etcd-0"
    stuck = rig.client("b", member=0)
    found = await stuck.get(b"/a")
    assert found is not None
    assert found.value == b"two"


@simulated
async def test_a_paused_member_applies_a_write_long_after_its_author_gave_up() -> None:
    rig = Rig()
    client, other = rig.client(member=1), rig.client("b", member=2)
    await client.get(b"/a")
    rig.etcd.pause("etcd-1")
    with pytest.raises(Unavailable):
        await client.put(b"/a", b"late")
    assert await other.get(b"/a") is None
    rig.etcd.resume("etcd-1")
    await asyncio.sleep(1)
    found = await other.get(b"/a")
    assert found is not None
    assert found.value == b"late"


@simulated
async def test_a_slow_member_applies_writes_late_too() -> None:
    rig = Rig()
    client, other = rig.client(member=1), rig.client("b", member=2)
    rig.etcd.slow("etcd-1", 60.0)
    with pytest.raises(Unavailable):
        await client.put(b"/a", b"late")
    await asyncio.sleep(60)
    assert await other.get(b"/a") is not None


@simulated
async def test_a_lost_answer_leaves_the_write() -> None:
    rig = Rig()
    client = rig.client()
    rig.etcd.lose_answers(1)
    began = now()
    with pytest.raises(Unavailable):
        await client.put(b"/a", b"one")
    assert now() - began == pytest.approx(5.0, abs=0.1)
    assert await client.get(b"/a") is not None


@simulated
async def test_an_absent_key_is_created_once_whatever_fails() -> None:
    rig = Rig()
    clients = [rig.client(f"client-{i}", member=i % 3) for i in range(9)]
    created: list[int] = []

    async def create(client: SimEtcdClient, number: int, key: bytes) -> None:
        try:
            if (await client.txn([Compare.absent(key)], [Put(key, b"%d" % number)])).succeeded:
                created.append(number)
        except Unavailable:
            return

    for round_ in range(20):
        created.clear()
        key = b"/once/%d" % round_
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(create(client, number, key))
            if round_ % 4 == 0:
                rig.etcd.lose_leader()
            rig.etcd.lose_answers(round_ % 3)
        found = await clients[0].get(key)
        assert found is not None
        assert len(created) <= 1
        assert created in ([], [int(found.value)])


@simulated
async def test_reads_never_go_back() -> None:
    rig = Rig()
    writer, readers = rig.client("w"), [rig.client(f"r{i}", member=i) for i in range(3)]
    rig.etcd.lag("etcd-1", 3.0)
    acknowledged = 0

    async def read(client: SimEtcdClient) -> None:
        while acknowledged < 99:
            least = acknowledged
            found = await client.get(b"/n")
            assert int(found.value if found else b"0") >= least

    async with asyncio.TaskGroup() as group:
        for reader in readers:
            group.create_task(read(reader))
        for number in range(100):
            await writer.put(b"/n", b"%d" % number)
            acknowledged = number


@simulated
async def test_a_lease_ends_late_but_never_early() -> None:
    rig = Rig()
    client = rig.client()
    for _ in range(20):
        lease = await client.grant(TTL)
        sent = now()
        await client.keep_alive(lease)
        await client.txn([], [Put(b"/a", b"", lease), Put(b"/b", b"", lease)])
        async with gathered(client, b"/") as updates:
            await updates.reach(2)
            assert sent + 10.0 <= now() <= sent + 10.8
        [_, gone] = updates
        assert isinstance(gone, Changes)
        assert [event.key for event in gone.events] == [b"/a", b"/b"]
        assert not await client.keep_alive(lease)
        with pytest.raises(LeaseLost):
            await client.put(b"/a", b"", lease)


@simulated
async def test_a_new_leader_gives_leases_their_full_time() -> None:
    rig = Rig()
    client = rig.client()
    lease = await client.grant(TTL)
    await client.put(b"/a", b"", lease)
    await asyncio.sleep(9)
    rig.etcd.lose_leader()
    await asyncio.sleep(9)
    assert await client.get(b"/a") is not None
    await asyncio.sleep(6)
    assert await client.get(b"/a") is None


@simulated
async def test_no_lease_ends_while_there_is_no_majority() -> None:
    rig = Rig()
    client = rig.client()
    await client.put(b"/a", b"", await client.grant(TTL))
    for name in MEMBERS:
        rig.isolate(name)
    await asyncio.sleep(60)
    assert rig.etcd.store.get(b"/a") is not None
    rig.network.heal_all()
    await asyncio.sleep(5)
    assert await client.get(b"/a") is not None
    await asyncio.sleep(12)
    assert await client.get(b"/a") is None


@simulated
async def test_the_request_of_a_killed_client_is_still_applied() -> None:
    rig = Rig()
    new_life("victim")
    rig.network.start("victim")
    client = rig.client("victim", member=1)
    await start_task("victim", client.get(b"/a"))
    start_task("victim", client.put(b"/a", b"last word"))
    await asyncio.sleep(0.0025)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    loop.kill(life_of("victim"))
    rig.etcd.slow("etcd-1", 0.0)
    await asyncio.sleep(1)
    assert await rig.client("b").get(b"/a") is not None


def test_the_same_seed_gives_the_same_run() -> None:
    assert traced(7) == traced(7)
    assert traced(7) != traced(8)


def traced(seed: int) -> list[str]:
    traces: list[str] = []

    @simulated
    async def play() -> None:
        rig = Rig(seed, EtcdConditions(late_watch_chance=0.3))
        dice = random.Random(seed)
        clients = [rig.client(f"n{i}", member=i % 3) for i in range(6)]

        async def write(client: SimEtcdClient, number: int) -> None:
            lease = 0
            for step in range(60):
                try:
                    lease = lease or await client.grant(TTL)
                    done = await client.put(b"/%d/%d" % (number, step % 5), b"%d" % step, lease)
                    rig.note(f"put {number} {step} {done}")
                    rig.note(f"alive {await client.keep_alive(lease)}")
                except LeaseLost:
                    lease = 0
                except Unavailable as fault:
                    rig.note(f"{number} {step} {fault.message}")
                await asyncio.sleep(0.2)

        async with gathered(clients[0], b"/") as updates, asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(write(client, number))
            for _ in range(6):
                name = dice.choice(MEMBERS)
                rig.etcd.kill(name)
                await asyncio.sleep(dice.random())
                rig.etcd.restart(name)
                rig.etcd.lose_leader()
                await asyncio.sleep(dice.random() * 3)
                rig.etcd.compact()
        traces.extend(rig.trace)
        traces.extend(map(str, updates))

    play()
    return traces


@simulated
async def test_a_write_whose_answer_cannot_come_back_is_applied() -> None:
    rig = Rig()
    client = rig.client(member=1)
    await client.get(b"/a")
    rig.network.cut("etcd-1", "a", is_one_way=True)
    with pytest.raises(Unavailable):
        await client.put(b"/a", b"one")
    assert await client.get(b"/a") is not None


@simulated
async def test_a_long_listing_is_of_one_revision_and_fails_when_that_is_compacted_meanwhile() -> None:
    rig = Rig(conditions=EtcdConditions(work=(1.0, 1.0)))
    client = rig.client()
    for number in range(600):
        rig.etcd.store.txn((), (Put(b"/a/%03d" % number, b""),), ())
    async with asyncio.TaskGroup() as group:
        listing = group.create_task(client.list_prefix(b"/a/"))
        await asyncio.sleep(1.5)
        rig.etcd.store.txn((), (Put(b"/a/999", b""),), ())
    assert len(listing.result().items) == 600
    faults: list[Unavailable] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(client.list_prefix(b"/a/"), faults))
        await asyncio.sleep(1.5)
        rig.etcd.store.txn((), (Put(b"/a/999", b""),), ())
        rig.etcd.compact()
    assert [type(fault) for fault in faults] == [Compacted]


async def collect(wait: Coroutine[object, object, object], faults: list[Unavailable]) -> None:
    try:
        await wait
    except Unavailable as fault:
        faults.append(fault)
