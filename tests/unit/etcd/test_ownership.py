import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta

import pytest
from chronos.cluster.v1.cluster_pb2 import ShardOwner

from libs.etcd import keys
from libs.etcd.ownership import Claim
from libs.etcd.transactions import Compare, Delete, Operation, Put, TxnResult
from libs.etcd.values import Changes, Snapshot
from tests.eventually import soon
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd
from tests.unit.etcd.replicas import Replica, all_owned_once, running

SHARDS = 16
A_WHILE = timedelta(seconds=10)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def etcd(clock: FakeClock) -> FakeEtcd:
    return FakeEtcd(clock)


def replica(etcd: FakeEtcd, clock: FakeClock, number: int, *, instance: str = "") -> Replica:
    return Replica(etcd.another_client(), clock, f"scheduler-{number}", shard_count=SHARDS, instance=instance)


def away(replica: Replica, value: bool) -> None:
    assert isinstance(replica.client, FakeEtcd)
    replica.client.is_away = value


async def test_a_replica_alone_owns_all_shards(etcd: FakeEtcd, clock: FakeClock) -> None:
    only = replica(etcd, clock, 0)
    async with running(only.run()):
        await soon(lambda: all_owned_once([only], SHARDS))
        for shard, claim in only.ownership.claims.items():
            item = await etcd.get(keys.shard_owner(shard))
            assert item is not None
            assert claim == Claim(shard=shard, epoch=item.create_revision, key=item.key)
            assert ShardOwner.FromString(item.value).replica == "scheduler-0"
            assert item.lease == only.lease.id


async def test_replicas_share_the_shards(etcd: FakeEtcd, clock: FakeClock) -> None:
    replicas = [replica(etcd, clock, number) for number in range(3)]
    async with running(*(each.run() for each in replicas)):
        await clock.advance(A_WHILE)
        assert all_owned_once(replicas, SHARDS)
        assert all(each.owned for each in replicas)


async def test_a_newcomer_gets_its_share_and_only_that_moves(etcd: FakeEtcd, clock: FakeClock) -> None:
    old, new = replica(etcd, clock, 0), replica(etcd, clock, 1)
    async with running(old.run()):
        await soon(lambda: all_owned_once([old], SHARDS))
        kept_epochs = dict(old.epochs)
        async with running(new.run()):
            await soon(lambda: all_owned_once([old, new], SHARDS) and bool(new.owned))
            assert len(old.epochs) == SHARDS, "what stayed was not taken anew"
            for shard, epoch in new.epochs:
                assert epoch > kept_epochs[shard]


async def test_the_shards_of_a_dead_replica_are_taken_when_its_lease_ends(etcd: FakeEtcd, clock: FakeClock) -> None:
    one, two = replica(etcd, clock, 0), replica(etcd, clock, 1)
    async with running(one.run()):
        async with running(two.run()):
            await soon(lambda: all_owned_once([one, two], SHARDS) and bool(two.owned))
        assert one.owned
        assert not all_owned_once([one], SHARDS), "nobody told etcd"
        await clock.advance(timedelta(seconds=2.1))
        assert all_owned_once([one], SHARDS)


async def test_a_handover_needs_no_time(etcd: FakeEtcd, clock: FakeClock) -> None:
    one, two = replica(etcd, clock, 0), replica(etcd, clock, 1)
    async with running(one.run(), two.run()):
        await soon(lambda: all_owned_once([one, two], SHARDS) and bool(two.owned))
        await two.ownership.hand_over()
        assert not two.owned
        assert not two.ownership.claims
        await soon(lambda: all_owned_once([one], SHARDS))
        await clock.advance(A_WHILE)
        assert not two.owned


async def test_no_claim_is_valid_once_etcd_is_away_for_long(etcd: FakeEtcd, clock: FakeClock) -> None:
    only = replica(etcd, clock, 0)
    async with running(only.run()):
        await soon(lambda: all_owned_once([only], SHARDS))
        held = list(only.ownership.claims.values())
        away(only, True)
        await clock.advance(timedelta(seconds=1))
        assert all_owned_once([only], SHARDS), "a short absence is nothing"
        await clock.advance(timedelta(seconds=1))
        assert not only.working
        assert not any(only.ownership.is_valid(claim) for claim in held)
        away(only, False)
        await clock.advance(A_WHILE)
        assert all_owned_once([only], SHARDS)
        assert all(claim.epoch > held[0].epoch for claim in only.ownership.claims.values())


async def test_a_replica_cut_off_never_owns_what_another_took(etcd: FakeEtcd, clock: FakeClock) -> None:
    replicas = [replica(etcd, clock, number) for number in range(3)]
    async with running(*(each.run() for each in replicas)):
        await clock.advance(A_WHILE)
        for victim in (replicas[0], replicas[1], replicas[2], replicas[0]):
            away(victim, True)
            for _ in range(40):
                await clock.advance(timedelta(milliseconds=100))
                all_owned_once(replicas, SHARDS)
            assert not victim.owned
            assert all_owned_once(replicas, SHARDS)
            away(victim, False)
            for _ in range(30):
                await clock.advance(timedelta(milliseconds=100))
                all_owned_once(replicas, SHARDS)
            assert victim.owned


async def test_a_paused_process_has_no_valid_claim_when_it_wakes(etcd: FakeEtcd, clock: FakeClock) -> None:
    only = replica(etcd, clock, 0)
    async with running(only.run()):
        await soon(lambda: all_owned_once([only], SHARDS))
        held = list(only.ownership.claims.values())
        clock._move_to(clock.monotonic() + 10)
        assert not any(only.ownership.is_valid(claim) for claim in held)


async def test_a_restarted_replica_takes_its_shards_when_the_old_lease_ends(etcd: FakeEtcd, clock: FakeClock) -> None:
    old = replica(etcd, clock, 0, instance="old")
    async with running(old.run()):
        await soon(lambda: all_owned_once([old], SHARDS))
    await clock.advance(timedelta(milliseconds=200))
    new = replica(etcd, clock, 0, instance="new")
    async with running(new.run()):
        await clock.advance(timedelta(seconds=1))
        assert not new.owned
        await clock.advance(timedelta(seconds=1.1))
        assert all_owned_once([new], SHARDS)


async def test_a_put_whose_answer_was_lost_is_found_again(etcd: FakeEtcd, clock: FakeClock) -> None:
    only = replica(etcd, clock, 0)
    async with running(only.lease.run(), only.membership.run(), only.watch.run()):
        await only.lease.acquired()
        await soon(lambda: bool(only.watch.members))
        assert isinstance(only.client, FakeEtcd)
        only.client.lose_answers(SHARDS)
        async with running(only.ownership.run()):
            await clock.advance(timedelta(seconds=1))
            assert all_owned_once([only], SHARDS)
            for claim in only.ownership.claims.values():
                item = await etcd.get(claim.key)
                assert item is not None
                assert item.create_revision == claim.epoch


async def test_a_shard_that_was_taken_unknowingly_and_is_not_wanted_any_more_is_given_back(
    etcd: FakeEtcd, clock: FakeClock
) -> None:
    one, two = replica(etcd, clock, 0), replica(etcd, clock, 1)
    async with running(one.lease.run(), one.membership.run(), one.watch.run()):
        await soon(lambda: bool(one.watch.members))
        assert isinstance(one.client, FakeEtcd)
        one.client.lose_answers(SHARDS)
        async with running(one.ownership.run()):
            await soon(lambda: one.ownership.claims == {} and not any(one.owned))
            async with running(two.run()):
                await clock.advance(timedelta(seconds=10))
                assert two.owned
                assert all_owned_once([one, two], SHARDS)


async def test_a_delete_whose_answer_was_lost_does_no_harm(etcd: FakeEtcd, clock: FakeClock) -> None:
    one, two = replica(etcd, clock, 0), replica(etcd, clock, 1)
    async with running(one.run(), two.run()):
        await soon(lambda: all_owned_once([one, two], SHARDS) and bool(two.owned))
        assert isinstance(two.client, FakeEtcd)
        two.client.lose_answers(3)
        async with running(clock.advance(A_WHILE)):
            await two.ownership.hand_over()
            await soon(lambda: all_owned_once([one], SHARDS))


async def test_a_key_deleted_by_hand_ends_the_claim(etcd: FakeEtcd, clock: FakeClock) -> None:
    only = replica(etcd, clock, 0)
    async with running(only.run()):
        await soon(lambda: all_owned_once([only], SHARDS))
        claim = only.ownership.claims[3]
        await etcd.delete(claim.key)
        await soon(lambda: not only.ownership.is_valid(claim))
        await soon(lambda: all_owned_once([only], SHARDS))
        assert only.ownership.claims[3].epoch > claim.epoch


async def test_a_key_replaced_while_changes_were_forgotten_ends_the_claim(etcd: FakeEtcd, clock: FakeClock) -> None:
    only = replica(etcd, clock, 0)
    async with running(only.run()):
        await soon(lambda: all_owned_once([only], SHARDS))
        claim = only.ownership.claims[3]
        away(only, True)
        await etcd.delete(claim.key)
        await etcd.compact(await etcd.put(claim.key, ShardOwner(instance="thief").SerializeToString()))
        away(only, False)
        await soon(lambda: not only.ownership.is_valid(claim))
        assert len(only.owned) == SHARDS - 1


class DeafEtcd(FakeEtcd):
    """A client that is told of no change to shards."""

    async def follow(self, prefix: bytes, *, deletes_only: bool = False) -> AsyncGenerator[Snapshot | Changes, None]:
        async with aclosing(super().follow(prefix, deletes_only=deletes_only)) as updates:
            async for update in updates:
                if isinstance(update, Snapshot) or prefix != keys.SHARDS:
                    yield update


async def test_a_claim_does_not_outlive_its_lease_whoever_tells(clock: FakeClock) -> None:
    etcd = DeafEtcd(clock)
    only = Replica(etcd, clock, "scheduler-0", shard_count=SHARDS)
    async with running(only.run()):
        await soon(lambda: all_owned_once([only], SHARDS))
        held = list(only.ownership.claims.values())
        await etcd.revoke(only.lease.id)
        await clock.advance(timedelta(seconds=1))
        assert not any(only.ownership.is_valid(claim) for claim in held)
        await clock.advance(A_WHILE)
        assert all_owned_once([only], SHARDS)


async def test_giving_up_does_not_delete_the_key_of_another(clock: FakeClock) -> None:
    etcd = DeafEtcd(clock)
    only = Replica(etcd, clock, "scheduler-0", shard_count=SHARDS)
    async with running(only.run()):
        await soon(lambda: all_owned_once([only], SHARDS))
        key = keys.shard_owner(3)
        await etcd.delete(key)
        await etcd.put(key, b"thief")
        await only.ownership.hand_over()
        item = await etcd.get(key)
        assert item is not None
        assert item.value == b"thief"


async def test_a_claim_does_not_come_back_to_life_under_the_next_lease(clock: FakeClock) -> None:
    etcd = DeafEtcd(clock)
    only, may_end = Replica(etcd, clock, "scheduler-0", shard_count=SHARDS), asyncio.Event()

    async def end_slowly() -> None:
        await may_end.wait()

    only.on_end = end_slowly
    async with running(only.run()):
        await soon(lambda: all_owned_once([only], SHARDS))
        held = list(only.ownership.claims.values())
        generation = only.lease.generation
        await etcd.revoke(only.lease.id)
        await clock.advance(timedelta(seconds=1))
        assert only.lease.generation == generation + 1
        assert only.lease.is_trusted()
        assert not any(only.ownership.is_valid(claim) for claim in held)
        may_end.set()
        await soon(lambda: all_owned_once([only], SHARDS))


class SlowEtcd(DeafEtcd):
    """A client that gets even the answers to its own deletes late."""

    async def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        result = await super().txn(compares, success, failure)
        if any(isinstance(step, Delete) for step in success):
            await self._store.clock.sleep(timedelta(milliseconds=500))
        return result


async def test_a_claim_ends_before_its_key_is_deleted(etcd: FakeEtcd, clock: FakeClock) -> None:
    slow = Replica(SlowEtcd(store=etcd._store), clock, "scheduler-0", shard_count=SHARDS)
    other = replica(etcd, clock, 1)
    async with running(slow.run(), other.run()):
        await soon(lambda: bool(slow.watch.members and slow.lease.id and other.lease.id))
        for _ in range(60):
            await clock.advance(timedelta(milliseconds=100))
            all_owned_once([slow, other], SHARDS)
        assert all_owned_once([slow, other], SHARDS)
        async with asyncio.TaskGroup() as group:
            handing_over = group.create_task(slow.ownership.hand_over())
            while not handing_over.done():
                await clock.advance(timedelta(milliseconds=10))
                all_owned_once([slow, other], SHARDS)
        assert all_owned_once([other], SHARDS)


async def test_a_worker_that_fails_is_started_again_after_a_pause(etcd: FakeEtcd, clock: FakeClock) -> None:
    only = replica(etcd, clock, 0)
    failures = iter([True, True])

    def fail(claim: Claim) -> None:
        if claim.shard == 5 and next(failures, False):
            raise RuntimeError("broken")

    only.on_work = fail
    async with running(only.run()):
        await soon(lambda: len(only.owned) == SHARDS - 1)
        await clock.advance(timedelta(seconds=1))
        assert all_owned_once([only], SHARDS)
        epochs = [epoch for shard, epoch in only.epochs if shard == 5]
        assert len(epochs) == 3
        assert epochs == sorted(set(epochs)), "each attempt has a newer epoch"


async def test_a_fenced_transaction_does_nothing_for_a_former_owner(etcd: FakeEtcd, clock: FakeClock) -> None:
    one, two = replica(etcd, clock, 0), replica(etcd, clock, 1)
    async with running(one.run()):
        await soon(lambda: all_owned_once([one], SHARDS))
        old = dict(one.ownership.claims)
        async with running(two.run()):
            await soon(lambda: all_owned_once([one, two], SHARDS) and bool(two.owned))
            for shard, claim in two.ownership.claims.items():
                mark = keys.shard_watermark(shard)
                assert not (await etcd.txn([old[shard].holds], [Put(mark, b"old")])).succeeded
                assert (await etcd.txn([claim.holds], [Put(mark, b"new")])).succeeded


async def test_when_ownership_is_stopped_its_workers_stop(etcd: FakeEtcd, clock: FakeClock) -> None:
    only = replica(etcd, clock, 0)
    async with AsyncExitStack() as stack:
        [task] = await stack.enter_async_context(running(only.run()))
        await soon(lambda: all_owned_once([only], SHARDS))
        task.cancel()
        await asyncio.wait([task])
        assert not only.working
        assert not only.ownership.claims
