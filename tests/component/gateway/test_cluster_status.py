"""GetClusterStatus over gRPC, from an etcd in memory."""

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from chronos.cluster.v1.cluster_pb2 import Finding
from chronos.gateway.v1.cluster_service_pb2 import ClusterStatus, GetClusterStatusRequest
from chronos.gateway.v1.cluster_service_pb2_grpc import ClusterServiceStub, add_ClusterServiceServicer_to_server

from libs.etcd import keys
from libs.rpc.auth import Authenticator
from libs.rpc.credentials import new_key
from libs.rpc.server import RpcServer
from services.gateway.app import CLUSTERS
from services.gateway.servicer.cluster import ClusterServicer
from tests.component.gateway.clusters import START, add_finding, add_owner, add_well_cluster, clusters_of
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd
from tests.fakes.keys import FakeKeyDirectory


class Gateway:
    """The servicer behind the real server, with keys that may and may not ask."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.etcd = FakeEtcd(self.clock)
        self.key, allowed = new_key("operator", ["admin:cluster"], ["*"], self.clock)
        self.other_key, other = new_key("reader", ["job:read"], ["*"], self.clock)
        servicer = ClusterServicer(clusters_of(self.etcd, self.clock))
        self.server = RpcServer(
            "127.0.0.1:0",
            [(add_ClusterServiceServicer_to_server, servicer, CLUSTERS)],
            authenticator=Authenticator(FakeKeyDirectory(allowed, other), self.clock),
            clock=self.clock,
        )
        self.address = ""

    async def status(self, key: str = "") -> ClusterStatus:
        async with grpc.aio.insecure_channel(self.address) as channel:
            metadata = (("x-api-key", key or self.key),)
            return await ClusterServiceStub(channel).GetClusterStatus(GetClusterStatusRequest(), metadata=metadata)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    made.address = await made.server.start()
    yield made
    await made.server.drain(timedelta(0))


async def test_the_status_tells_who_is_there_and_who_owns_what(gateway: Gateway) -> None:
    await add_well_cluster(gateway.etcd)
    await gateway.etcd.put(keys.job_index("default", "a"), b"1")
    await gateway.etcd.put(keys.job_index("other", "a"), b"0")
    status = await gateway.status()
    assert status.is_healthy, status.problems
    assert [member.replica for member in status.members] == [
        "dispatcher-0",
        "gateway-0",
        "history-0",
        "policy-0",
        "scheduler-0",
    ]
    assert [shard.shard for shard in status.shards] == [0, 1]
    assert {shard.owner for shard in status.shards} == {"scheduler-0"}
    assert all(shard.epoch > 0 for shard in status.shards)
    assert status.shards[0].watermark.ToJsonString() == "2026-01-01T00:00:00Z"
    assert status.meta.shard_count == 2
    assert status.job_count == 2
    assert status.etcd[0].is_healthy


async def test_the_epoch_is_the_revision_at_which_the_owner_took_the_shard(gateway: Gateway) -> None:
    await add_well_cluster(gateway.etcd)
    await gateway.etcd.delete(keys.shard_owner(1))
    epoch = await add_owner(gateway.etcd, 1)
    assert (await gateway.status()).shards[1].epoch == epoch


async def test_a_shard_that_nobody_owns_is_listed_and_told(gateway: Gateway) -> None:
    await add_well_cluster(gateway.etcd)
    await gateway.etcd.delete(keys.shard_owner(1))
    status = await gateway.status()
    assert not status.is_healthy
    assert (status.shards[1].owner, status.shards[1].epoch) == ("", 0)
    assert list(status.problems) == ["shard 1 is without an owner: jobs there do not fire"]


async def test_a_watermark_that_stands_still_is_told(gateway: Gateway) -> None:
    await add_well_cluster(gateway.etcd)
    await gateway.clock.advance(timedelta(seconds=11))
    assert list((await gateway.status()).problems) == ["2 shards (0, 1) are behind: the oldest watermark is 11 s old"]


async def test_what_replicas_find_is_listed_the_oldest_first_and_does_not_make_the_cluster_unhealthy(
    gateway: Gateway,
) -> None:
    await add_well_cluster(gateway.etcd)
    await add_finding(gateway.etcd, "scheduler-1", "shard 3", START)
    await add_finding(gateway.etcd, "scheduler-0", "shard 4", START - timedelta(seconds=1))
    status = await gateway.status()
    assert [(each.replica, each.subject) for each in status.findings] == [
        ("scheduler-0", "shard 4"),
        ("scheduler-1", "shard 3"),
    ]
    assert (status.findings[0].kind, status.findings[0].fix) == (Finding.BEHIND, "look at history")
    assert status.is_healthy


async def test_without_etcd_the_status_is_unavailable(gateway: Gateway) -> None:
    gateway.etcd.is_away = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.status()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_key_without_the_permission_learns_nothing(gateway: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.status(gateway.other_key)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
