from datetime import timedelta

import pytest
from chronos.cluster.v1.cluster_pb2 import Member

from libs.etcd import keys
from libs.etcd.lease import Lease
from libs.etcd.membership import Membership, MemberWatch
from tests.eventually import soon
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd
from tests.unit.etcd.replicas import running

TTL = timedelta(seconds=2)
MEMBER = Member(service="history", instance="history-0-x", replica="history-0", address="127.0.0.1:1")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def etcd(clock: FakeClock) -> FakeEtcd:
    return FakeEtcd(clock)


@pytest.fixture
def lease(etcd: FakeEtcd, clock: FakeClock) -> Lease:
    return Lease(etcd, TTL, clock)


async def test_a_member_is_seen_while_it_lives(etcd: FakeEtcd, clock: FakeClock, lease: Lease) -> None:
    watch = MemberWatch(etcd.another_client(), "history")
    assert watch.version == 0
    async with running(watch.run()):
        await soon(lambda: watch.version == 1)
        assert not watch.members
        async with running(lease.run(), Membership(etcd, lease, MEMBER, clock).run()):
            await soon(lambda: dict(watch.members) == {"history-0-x": MEMBER})
            await clock.advance(TTL * 10)
            assert watch.members
        await clock.advance(TTL * 1.1)
        await soon(lambda: not watch.members)


async def test_a_member_is_announced_again_after_a_loss(etcd: FakeEtcd, clock: FakeClock, lease: Lease) -> None:
    async with running(lease.run(), Membership(etcd, lease, MEMBER, clock).run()):
        await clock.advance(timedelta(seconds=1))
        await etcd.revoke(lease.id)
        assert not await etcd.count(keys.members_of("history"))
        await clock.advance(TTL)
        assert await etcd.count(keys.members_of("history")) == 1


async def test_a_member_is_announced_when_etcd_comes(etcd: FakeEtcd, clock: FakeClock, lease: Lease) -> None:
    client = etcd.another_client()
    client.is_away = True
    async with running(lease.run(), Membership(client, lease, MEMBER, clock).run()):
        await clock.advance(timedelta(seconds=10))
        client.is_away = False
        await clock.advance(timedelta(seconds=2))
        assert await etcd.count(keys.members_of("history")) == 1


async def test_a_member_that_withdrew_stays_away(etcd: FakeEtcd, clock: FakeClock, lease: Lease) -> None:
    membership = Membership(etcd, lease, MEMBER, clock)
    async with running(lease.run(), membership.run()):
        await clock.advance(timedelta(seconds=1))
        await membership.withdraw()
        assert not await etcd.count(keys.members_of("history"))
        await etcd.revoke(lease.id)
        await clock.advance(TTL * 5)
        assert not await etcd.count(keys.members_of("history"))


async def test_withdrawing_without_etcd_leaves_it_to_the_lease(etcd: FakeEtcd, clock: FakeClock, lease: Lease) -> None:
    etcd.is_away = True
    await Membership(etcd, lease, MEMBER, clock).withdraw()


async def test_other_services_are_not_seen(etcd: FakeEtcd) -> None:
    watch = MemberWatch(etcd, "history")
    await etcd.put(keys.member("history-2", "x"), MEMBER.SerializeToString())
    async with running(watch.run()):
        await soon(lambda: watch.version == 1)
        assert not watch.members


async def test_members_known_last_stay_while_etcd_is_away(etcd: FakeEtcd) -> None:
    watch = MemberWatch(etcd, "history")
    await etcd.put(keys.member("history", "x"), MEMBER.SerializeToString())
    async with running(watch.run()):
        await soon(lambda: bool(watch.members))
        etcd.is_away = True
        assert watch.members


async def test_a_new_snapshot_forgets_who_left_unseen(etcd: FakeEtcd) -> None:
    writer, watch = etcd.another_client(), MemberWatch(etcd, "history")
    await writer.put(keys.member("history", "gone"), MEMBER.SerializeToString())
    async with running(watch.run()):
        await soon(lambda: "gone" in watch.members)
        etcd.is_away = True
        await writer.delete(keys.member("history", "gone"))
        await writer.put(keys.member("history", "new"), MEMBER.SerializeToString())
        await writer.compact(await writer.put(keys.META, b""))
        etcd.is_away = False
        await soon(lambda: set(watch.members) == {"new"})


async def test_a_change_between_two_waits_is_not_missed(etcd: FakeEtcd) -> None:
    watch = MemberWatch(etcd, "history")
    async with running(watch.run()):
        seen = await watch.changed(0)
        await etcd.put(keys.member("history", "a"), MEMBER.SerializeToString())
        await soon(lambda: watch.version > seen)
        assert await watch.changed(seen) > seen
