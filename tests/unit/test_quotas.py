"""Counting runs against quotas, with several replicas."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.adapters.etcd_quotas import EtcdQuotaStore
from services.scheduler.domain.quota import Quota, Share, Verdict, chunk_of, fair_slots, slots_to_reserve
from services.scheduler.firing.quotas import Quotas
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd
from tests.fakes.namespaces import FakeNamespaceBook

START = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
NAME = "team"
STEP = timedelta(milliseconds=50)


class Replica:
    """A scheduler that counts, with a lease of its own, and runs that it was told to let wait."""

    def __init__(self, cluster: "Cluster", instance: str) -> None:
        self.etcd = cluster.etcd.another_client()
        self.lease, self.generation, self._lease_count = 0, 0, 0
        store = EtcdQuotaStore(self.etcd, instance, lambda: self.lease)
        self.quotas = Quotas(store, cluster.book, instance, lambda: self.generation, cluster.clock)
        self.quotas.on_change(self.retry)
        self.waiting, self.running, self.refused, self.begun = 0, 0, 0, 0

    async def take_lease(self) -> None:
        self.lease = await self.etcd.grant(timedelta(days=1))
        self._lease_count += 1
        self.generation = self._lease_count

    async def lose_lease(self) -> None:
        """Its shards go too, and so do all its runs."""
        lease, self.lease, self.generation = self.lease, 0, 0
        for _ in range(self.running):
            self.quotas.release(NAME)
        self.running = self.waiting = 0
        await self.etcd.revoke(lease)

    def ask(self) -> Verdict:
        answer = self.quotas.ask(NAME)
        assert bool(answer.reason) == (answer.verdict is not Verdict.GRANTED)
        match answer.verdict:
            case Verdict.GRANTED:
                self.running += 1
                self.begun += 1
            case Verdict.WAIT:
                self.waiting += 1
            case Verdict.REFUSED:
                self.refused += 1
        return answer.verdict

    def retry(self, namespace: str) -> None:
        assert namespace == NAME
        while self.waiting:
            self.waiting -= 1
            if self.ask() is Verdict.WAIT:
                return

    def end(self) -> None:
        if self.running:
            self.running -= 1
            self.quotas.release(NAME)


class Cluster:
    """Replicas over one etcd."""

    def __init__(self, quota: Quota, size: int = 2) -> None:
        self.clock = FakeClock(START)
        self.etcd = FakeEtcd(self.clock)
        self.book = FakeNamespaceBook(**{NAME: quota})
        self.replicas = [Replica(self, f"s{number}") for number in range(size)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[Replica]]:
        for replica in self.replicas:
            await replica.take_lease()
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(replica.quotas.run()) for replica in self.replicas]
            try:
                yield self.replicas
            finally:
                for loop in loops:
                    loop.cancel()

    @property
    def runs(self) -> int:
        return sum(replica.running for replica in self.replicas)


async def test_a_namespace_without_limits_never_waits() -> None:
    cluster = Cluster(Quota(max_jobs=1))
    replica = cluster.replicas[0]
    assert [replica.ask() for _ in range(1000)] == [Verdict.GRANTED] * 1000
    assert cluster.etcd._store.revision == 1


async def test_concurrent_runs_wait_for_a_slot_and_get_it_when_one_is_free() -> None:
    cluster = Cluster(Quota(max_concurrent_runs=3))
    async with cluster.running() as (one, _):
        assert [one.ask() for _ in range(5)] == [Verdict.WAIT] * 5
        await cluster.clock.advance(STEP)
        assert (one.running, one.waiting) == (3, 2)
        one.end()
        await cluster.clock.advance(STEP)
        assert (one.running, one.waiting) == (3, 1)


async def test_slots_that_nobody_needs_are_given_back_after_a_second() -> None:
    cluster = Cluster(Quota(max_concurrent_runs=3))
    async with cluster.running() as (one, other):
        for _ in range(3):
            one.ask()
        await cluster.clock.advance(STEP)
        for _ in range(3):
            one.end()
        assert one.ask() is Verdict.GRANTED
        one.end()
        other.ask()
        await cluster.clock.advance(timedelta(milliseconds=500))
        assert other.running == 0
        await cluster.clock.advance(timedelta(seconds=2))
        assert other.running == 1


async def test_a_crowd_on_one_replica_leaves_the_others_their_part() -> None:
    cluster = Cluster(Quota(max_concurrent_runs=4))
    async with cluster.running() as (one, other):
        for _ in range(200):
            one.ask()
        await cluster.clock.advance(STEP)
        assert one.running == 4
        for _ in range(200):
            other.ask()
        for _ in range(30):
            await cluster.clock.advance(timedelta(milliseconds=300))
            one.end()
            other.end()
            assert cluster.runs <= 4
        await cluster.clock.advance(timedelta(seconds=1))
        assert (one.running, other.running) == (2, 2)


async def test_a_single_slot_goes_round() -> None:
    cluster = Cluster(Quota(max_concurrent_runs=1))
    async with cluster.running() as (one, other):
        begun = [0, 0]
        for replica in (one, other):
            for _ in range(100):
                replica.ask()
        for _ in range(40):
            await cluster.clock.advance(timedelta(milliseconds=600))
            assert cluster.runs <= 1
            for index, replica in enumerate((one, other)):
                begun[index] += replica.running
                replica.end()
        assert min(begun) >= 5, begun


async def test_both_quotas_together_let_every_run_have_its_turn() -> None:
    cluster = Cluster(Quota(max_concurrent_runs=1, max_executions_per_hour=50))
    async with cluster.running() as (one, other):
        for replica in (one, other):
            for _ in range(2):
                replica.ask()
        for _ in range(40):
            await cluster.clock.advance(timedelta(milliseconds=600))
            assert cluster.runs <= 1
            for replica in (one, other):
                replica.end()
        assert (one.begun, other.begun) == (2, 2)


async def test_runs_that_were_taken_over_count_and_nothing_begins_until_there_is_room() -> None:
    cluster = Cluster(Quota(max_concurrent_runs=2))
    async with cluster.running() as (one, other):
        for _ in range(3):
            one.quotas.adopt(NAME)
            one.running += 1
        await cluster.clock.advance(STEP)
        other.ask()
        one.ask()
        for _ in range(2):
            await cluster.clock.advance(timedelta(seconds=2))
            assert other.running == 0
            assert one.waiting == 1
            one.end()
        await cluster.clock.advance(timedelta(seconds=2))
        assert cluster.runs == 2


async def test_executions_of_an_hour_are_refused_when_used_up_and_again_granted_in_the_next() -> None:
    cluster = Cluster(Quota(max_executions_per_hour=5))
    async with cluster.running() as (one, other):
        for replica in (one, other):
            for _ in range(4):
                replica.ask()
                await cluster.clock.advance(STEP)
                replica.end()
        assert one.refused + other.refused == 3
        assert other.ask() is Verdict.REFUSED
        assert "max_executions_per_hour" in other.quotas.ask(NAME).reason
        cluster.clock.jump(timedelta(minutes=30))
        assert other.ask() is Verdict.WAIT
        await cluster.clock.advance(STEP)
        assert other.running == 1


async def test_a_replica_keeps_at_most_one_percent_of_an_hour_unused() -> None:
    cluster = Cluster(Quota(max_executions_per_hour=300))
    async with cluster.running() as (one, other):
        other.ask()
        await cluster.clock.advance(STEP)
        for _ in range(300):
            one.ask()
            await cluster.clock.advance(timedelta(milliseconds=20))
        assert one.running + other.running >= 297
        assert one.running + one.refused == 300


async def test_a_raised_quota_helps_those_who_were_refused() -> None:
    cluster = Cluster(Quota(max_executions_per_hour=1, max_concurrent_runs=10))
    async with cluster.running() as (one, _):
        for _ in range(2):
            one.ask()
            await cluster.clock.advance(STEP)
        assert (one.running, one.refused) == (1, 1)
        cluster.book.set(NAME, Quota(max_executions_per_hour=2))
        one.ask()
        await cluster.clock.advance(STEP)
        assert one.running == 2


async def test_zero_executions_per_hour_means_none() -> None:
    cluster = Cluster(Quota(max_executions_per_hour=0))
    assert cluster.replicas[0].ask() is Verdict.REFUSED


async def test_a_new_limit_counts_what_is_under_way_and_a_lifted_one_gives_everything_back() -> None:
    cluster = Cluster(Quota())
    async with cluster.running() as (one, other):
        for _ in range(3):
            one.ask()
        cluster.book.set(NAME, Quota(max_concurrent_runs=3))
        await cluster.clock.advance(STEP)
        other.ask()
        await cluster.clock.advance(STEP)
        assert (one.running, other.running, other.waiting) == (3, 0, 1)
        cluster.book.set(NAME, Quota())
        await cluster.clock.advance(timedelta(seconds=1))
        assert other.running == 1
        assert cluster.etcd._store.under(b"/chronos/v1/quotas/") == []


async def test_while_etcd_is_away_what_is_reserved_is_used_and_nothing_more() -> None:
    cluster = Cluster(Quota(max_concurrent_runs=2))
    async with cluster.running() as (one, _):
        one.ask()
        await cluster.clock.advance(STEP)
        one.etcd.is_away = True
        one.end()
        assert one.ask() is Verdict.GRANTED
        assert one.ask() is Verdict.WAIT
        await cluster.clock.advance(timedelta(seconds=5))
        assert one.running == 1
        one.etcd.is_away = False
        await cluster.clock.advance(timedelta(seconds=1))
        assert one.running == 2


async def test_slots_of_a_lost_lease_are_not_used() -> None:
    cluster = Cluster(Quota(max_concurrent_runs=2))
    async with cluster.running() as (one, other):
        one.ask()
        one.ask()
        await cluster.clock.advance(STEP)
        await one.lose_lease()
        assert one.ask() is Verdict.WAIT
        other.ask()
        other.ask()
        await cluster.clock.advance(timedelta(seconds=1))
        assert (one.running, other.running) == (0, 2)
        await one.take_lease()
        await cluster.clock.advance(timedelta(seconds=1))
        assert one.running == 0


ACTIONS = ["ask"] * 10 + ["end"] * 8 + ["wait"] * 12 + ["away"] + ["back"] * 4 + ["lose answer", "lease"]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(5, 60), st.randoms(use_true_random=False))
def test_no_interleaving_goes_over_a_quota(most: int, hourly: int, chance: random.Random) -> None:
    cluster = Cluster(Quota(max_concurrent_runs=most, max_executions_per_hour=hourly), 3)
    asyncio.run(go_through(cluster, chance))


async def go_through(cluster: Cluster, chance: random.Random) -> None:
    quota = cluster.book.quotas_of(NAME)
    async with cluster.running() as replicas:
        for _ in range(150):
            replica = chance.choice(replicas)
            match chance.choice(ACTIONS):
                case "ask":
                    replica.ask()
                case "end":
                    replica.end()
                case "away":
                    replica.etcd.is_away = True
                case "back":
                    replica.etcd.is_away = False
                case "lose answer":
                    replica.etcd.lose_answers(1)
                case "lease" if not replica.etcd.is_away:
                    await replica.lose_lease()
                    await replica.take_lease()
                case _:
                    await cluster.clock.advance(timedelta(milliseconds=chance.choice([10, 20, 150, 1100])))
            for _ in range(chance.randint(0, 5)):
                await asyncio.sleep(0)
            assert cluster.runs <= quota.max_concurrent_runs
            assert sum(each.begun for each in replicas) <= quota.max_executions_per_hour


async def test_a_slot_to_be_given_up_does_not_survive_the_loss_of_the_lease() -> None:
    """Once found by the property above: what was given up was counted from slots of the lost lease."""
    chance = random.Random(9)
    quota = Quota(max_concurrent_runs=chance.randint(1, 4), max_executions_per_hour=chance.randint(5, 60))
    await go_through(Cluster(quota, 3), chance)


@given(st.integers(1, 50), st.lists(st.builds(Share, reserved=st.integers(0, 9), waiting=st.integers(0, 9))),
       st.integers(0, 9), st.integers(0, 50))  # fmt: skip
def test_no_slots_beyond_the_quota_are_taken(quota: int, others: list[Share], running: int, waiting: int) -> None:
    reserved = slots_to_reserve(quota, others, running=running, waiting=waiting)
    taken = sum(share.reserved for share in others)
    assert running <= reserved <= running + waiting
    assert reserved == running or reserved + taken <= quota
    assert fair_slots(quota, others) <= quota


def test_a_chunk_is_one_percent_but_at_least_one() -> None:
    assert [chunk_of(quota) for quota in (1, 99, 1000)] == [1, 1, 10]
