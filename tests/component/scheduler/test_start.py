"""A scheduler that starts while etcd comes and goes."""

import asyncio
from datetime import timedelta

from chronos.cluster.v1.cluster_pb2 import Member

from libs.etcd.api_keys import EtcdKeyDirectory
from libs.etcd.lease import Lease
from libs.etcd.membership import Membership
from libs.mesh import Node
from services.scheduler.app import find_shard_count
from services.scheduler.settings import SchedulerSettings
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd


async def test_an_etcd_that_is_away_at_the_start_is_waited_for() -> None:
    clock, etcd = FakeClock(), FakeEtcd()
    node = node_of(etcd, clock)
    etcd.is_away = True
    async with asyncio.TaskGroup() as group:
        finding = group.create_task(find_shard_count(node, 8))
        await clock.advance(timedelta(seconds=3))
        assert not finding.done()
        etcd.is_away = False
        await clock.advance(timedelta(seconds=1))
    assert finding.result() == 8
    assert await find_shard_count(node, 16) == 8


def node_of(etcd: FakeEtcd, clock: FakeClock) -> Node:
    settings = SchedulerSettings(_env_file=None)  # type: ignore[call-arg]
    member = Member(service="scheduler", instance="s1", replica="s1")
    lease = Lease(etcd, settings.lease_ttl, clock)
    return Node(
        settings=settings,
        clock=clock,
        etcd=etcd,
        lease=lease,
        keys=EtcdKeyDirectory(etcd),
        member=member,
        membership=Membership(etcd, lease, member, clock),
    )
