import asyncio

from libs.etcd.client import Changes, Snapshot
from tests.simulation.etcd import MEMBERS, EtcdConditions
from tests.unit.simulation.etcd_rig import Rig, eventually_put, gathered, values
from tests.unit.simulation.rig import simulated


@simulated
async def test_a_follower_sees_each_change_once_and_in_order_whatever_fails() -> None:
    rig = Rig(conditions=EtcdConditions(late_watch_chance=0.5))
    writer, reader = rig.client("w", member=2), rig.client("r", member=1)
    written: list[bytes] = []
    async with gathered(reader, b"/a/") as updates:
        for number in range(200):
            match number % 40:
                case 5:
                    rig.etcd.cancel_watches("etcd-1")
                case 10:
                    rig.etcd.kill("etcd-1")
                case 15:
                    rig.etcd.restart("etcd-1")
                case 20:
                    rig.etcd.delay_watches(2.0)
                case 25:
                    rig.etcd.pause("etcd-0")
                case 30:
                    rig.etcd.resume("etcd-0")
                case 35:
                    rig.isolate("etcd-1")
                case 39:
                    rig.network.heal_all()
            written.append(b"%d" % number)
            await eventually_put(writer, b"/a/%d" % (number % 7), written[-1])
            await asyncio.sleep(0.3)
        await asyncio.sleep(60)
    told = iter(values(updates))
    assert all(any(value == seen for seen in told) for value in written)
    revisions = [update.revision for update in updates]
    assert revisions == sorted(revisions)
    assert sum(isinstance(update, Changes) for update in updates) == len(set(revisions)) - 1


@simulated
async def test_a_follower_on_a_lagging_member_is_told_late() -> None:
    rig = Rig()
    writer, reader = rig.client("w"), rig.client("r", member=1)
    async with gathered(reader, b"/a") as updates:
        await asyncio.sleep(0.1)
        rig.etcd.lag("etcd-1", 3.0)
        await writer.put(b"/a", b"one")
        await asyncio.sleep(2.5)
        assert len(updates) == 1
        await asyncio.sleep(1.0)
        assert values(updates) == [b"one"]


@simulated
async def test_a_follower_cut_off_from_the_leader_goes_elsewhere() -> None:
    rig = Rig()
    writer, reader = rig.client("w"), rig.client("r", member=1)
    async with gathered(reader, b"/a") as updates:
        await asyncio.sleep(0.1)
        rig.isolate("etcd-1")
        await writer.put(b"/a", b"one")
        await asyncio.sleep(10)
        assert values(updates) == [b"one"]


@simulated
async def test_a_follower_that_missed_what_was_compacted_gets_a_snapshot() -> None:
    rig = Rig()
    writer, reader = rig.client("w", member=0), rig.client("r", member=1)
    async with gathered(reader, b"/a") as updates:
        await asyncio.sleep(0.1)
        rig.network.partition(["r"], MEMBERS)
        for number in range(5):
            await writer.put(b"/a", b"%d" % number)
        await asyncio.sleep(20)
        rig.etcd.compact()
        rig.network.heal_all()
        await asyncio.sleep(5)
        last = updates[-1]
        assert isinstance(last, Snapshot)
        assert [item.value for item in last.items] == [b"4"]


@simulated
async def test_watches_of_one_client_are_not_ordered_against_each_other() -> None:
    rig = Rig()
    client = rig.client()
    order: list[bytes] = []
    async with gathered(client, b"/a") as first, gathered(client, b"/b") as second:
        await asyncio.sleep(0.1)
        for number in range(50):
            await client.put(b"/a", b"%d" % number)
            await client.put(b"/b", b"%d" % number)
            if len(second) > len(first):
                order.append(b"b first")
            rig.etcd.delay_watches(0.01)
        await asyncio.sleep(1)
        assert values(first) == values(second) == [b"%d" % number for number in range(50)]
    assert order
