from datetime import timedelta

import pytest

from libs.clock import Clock
from libs.etcd.lease import Lease
from tests.eventually import soon
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd
from tests.unit.etcd.replicas import running

TTL = timedelta(seconds=2)
A_MOMENT = timedelta(milliseconds=10)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def etcd(clock: FakeClock) -> FakeEtcd:
    return FakeEtcd(clock)


@pytest.fixture
def lease(etcd: FakeEtcd, clock: Clock) -> Lease:
    return Lease(etcd, TTL, clock)


async def test_a_lease_is_kept_alive(etcd: FakeEtcd, clock: FakeClock, lease: Lease) -> None:
    async with running(lease.run()):
        generation = await lease.acquired()
        await etcd.put(b"/a", b"", lease.id)
        for _ in range(100):
            await clock.advance(timedelta(milliseconds=500))
            assert lease.is_trusted()
        assert lease.generation == generation
        assert await etcd.get(b"/a")


async def test_there_is_no_trust_before_a_lease_is_granted(lease: Lease) -> None:
    assert not lease.is_trusted()
    assert lease.id == 0


async def test_a_lease_is_distrusted_before_the_server_ends_it(etcd: FakeEtcd, clock: FakeClock, lease: Lease) -> None:
    witness = etcd.another_client()
    async with running(lease.run()):
        await lease.acquired()
        await etcd.put(b"/a", b"", lease.id)
        etcd.is_away = True
        while lease.is_trusted():
            assert await witness.get(b"/a")
            await clock.advance(A_MOMENT)
        assert await witness.get(b"/a")
        await clock.advance(TTL)
        assert not await witness.get(b"/a")


async def test_a_process_that_was_paused_distrusts_its_lease_at_once(clock: FakeClock, lease: Lease) -> None:
    async with running(lease.run()):
        await lease.acquired()
        clock._move_to(clock.monotonic() + 10)  # Time passes, and none of our tasks had a turn.
        assert not lease.is_trusted()


async def test_the_last_fraction_of_a_microsecond_of_trust_is_slept_away(clock: FakeClock, lease: Lease) -> None:
    lease._trusted_until = clock.monotonic() + 3e-7  # Less than a timedelta can tell from nothing.
    async with running(lease._until_distrusted()) as [task]:
        await soon(lambda: clock.sleeping == 1)
        await clock.advance(timedelta(milliseconds=1))
        assert task.done()


async def test_an_answer_that_comes_too_late_does_not_restore_trust(clock: FakeClock, etcd: FakeEtcd) -> None:
    class SlowEtcd(FakeEtcd):
        async def keep_alive(self, lease: int, *, timeout: timedelta = TTL) -> bool:
            await clock.sleep(TTL)
            return True

    lease = Lease(SlowEtcd(clock), TTL, clock)
    async with running(lease.run()):
        first = await lease.acquired()
        await clock.advance(timedelta(seconds=1.55))
        assert lease.is_trusted()
        await clock.advance(timedelta(seconds=0.1))
        assert lease.generation == first + 1


async def test_losing_a_lease_wakes_who_waits_and_brings_another(
    etcd: FakeEtcd, clock: FakeClock, lease: Lease
) -> None:
    async with running(lease.run()):
        first = await lease.acquired()
        old = lease.id
        await etcd.revoke(old)
        async with running(clock.advance(TTL)):
            await lease.lost(first)
            second = await lease.acquired()
        assert second == first + 1
        assert lease.id != old
        await lease.lost(first)


async def test_a_distrusted_lease_is_revoked_when_etcd_answers_again(etcd: FakeEtcd, clock: FakeClock) -> None:
    lease = Lease(etcd, timedelta(seconds=20), clock)
    async with running(lease.run()):
        await lease.acquired()
        old = lease.id
        etcd.is_away = True
        await clock.advance(timedelta(seconds=16.1))
        assert lease.id == 0
        etcd.is_away = False
        await clock.advance(timedelta(seconds=1.1))
        assert lease.id not in (0, old)
        assert not await etcd.keep_alive(old), "the server would have kept it for another 3 s"


async def test_closing_revokes(etcd: FakeEtcd, lease: Lease) -> None:
    async with running(lease.run()):
        await lease.acquired()
        await etcd.put(b"/a", b"", lease.id)
    await lease.close()
    assert not await etcd.get(b"/a")
    assert not lease.is_trusted()


async def test_closing_without_etcd_leaves_the_lease_to_expire(etcd: FakeEtcd, lease: Lease) -> None:
    async with running(lease.run()):
        await lease.acquired()
    etcd.is_away = True
    await lease.close()
    assert not lease.is_trusted()


async def test_a_lease_is_taken_as_soon_as_etcd_comes(etcd: FakeEtcd, clock: FakeClock, lease: Lease) -> None:
    etcd.is_away = True
    async with running(lease.run()):
        await clock.advance(timedelta(minutes=1))
        assert lease.id == 0
        etcd.is_away = False
        await clock.advance(timedelta(seconds=1))
        await soon(lease.is_trusted)
