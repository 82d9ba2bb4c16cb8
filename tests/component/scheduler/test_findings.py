"""From a scheduler that cannot go on to the state of the cluster that a gateway tells, over an etcd in memory."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from chronos.cluster.v1.cluster_pb2 import Member

from libs.etcd.api_keys import EtcdKeyDirectory
from libs.etcd.lease import Lease
from libs.etcd.membership import Membership
from libs.mesh import Loop, Node
from services.gateway.adapters.etcd_cluster import EtcdClusterReader
from services.gateway.domain.cluster import Finding
from services.scheduler.app.firing import build_firing
from services.scheduler.app.policies import open_policies
from services.scheduler.app.stores import open_stores
from services.scheduler.settings import SchedulerSettings
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd
from tests.fakes.scheduler import FakeLedger

SHARDS = 2
SECOND = timedelta(seconds=1)


class Replica:
    """A scheduler replica with its real wiring, and a history of our own."""

    def __init__(self) -> None:
        self.clock, self.ledger = FakeClock(), FakeLedger()
        self.etcd = FakeEtcd(self.clock)
        settings = SchedulerSettings(replica="scheduler-0")
        lease = Lease(self.etcd, 2 * SECOND, self.clock)
        member = Member(service="scheduler", instance="scheduler-0-x", replica="scheduler-0")
        node = Node(
            settings=settings,
            clock=self.clock,
            etcd=self.etcd,
            lease=lease,
            keys=EtcdKeyDirectory(self.etcd),
            member=member,
            membership=Membership(self.etcd, lease, member, self.clock),
        )
        stores = open_stores(node, SHARDS)
        policies = open_policies(node, settings, stores, node.watch("history"))
        firing = build_firing(node, settings, stores, self.ledger, policies, SHARDS)
        self.loops = [*node.loops.values(), *stores.loops.values(), *policies.loops.values(), *firing.loops.values()]

    async def told(self) -> list[Finding]:
        """What a gateway would tell."""
        return list((await EtcdClusterReader(self.etcd).read()).findings)


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    made = Replica()
    made.ledger.is_away = True
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_endless(loop)) for loop in made.loops]
        yield made
        for task in tasks:
            task.cancel()


async def test_shards_that_wait_for_history_are_told_until_they_fire(replica: Replica) -> None:
    await replica.clock.advance(9 * SECOND)
    assert await replica.told() == []
    await replica.clock.advance(10 * SECOND)
    found = await replica.told()
    assert [(each.kind, each.subject, each.replica) for each in found] == [
        ("UNOWNED", "shard 0", "scheduler-0"),
        ("UNOWNED", "shard 1", "scheduler-0"),
    ]
    assert "take-over is not through" in found[0].message
    replica.ledger.is_away = False
    await replica.clock.advance(10 * SECOND)
    assert await replica.told() == []


async def _endless(loop: Loop) -> None:
    await loop()
