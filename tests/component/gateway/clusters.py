"""A cluster in a fake etcd."""

from datetime import UTC, datetime, timedelta

from chronos.cluster.v1.cluster_pb2 import ClusterMeta, Finding, Findings, Member, ShardOwner, Watermark
from google.protobuf.message import Message

from libs.etcd import keys
from services.gateway.adapters.etcd_cluster import EtcdClusterReader
from services.gateway.cluster import Clusters
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd

START = datetime(2026, 1, 1, tzinfo=UTC)
SERVICES = ("scheduler", "dispatcher", "history", "policy", "gateway")


def clusters_of(etcd: FakeEtcd, clock: FakeClock) -> Clusters:
    return Clusters(
        reader=EtcdClusterReader(etcd),
        clock=clock,
        expected_services=SERVICES,
        watermark_tolerance=timedelta(seconds=10),
    )


async def put(etcd: FakeEtcd, key: bytes, value: Message) -> int:
    return await etcd.put(key, value.SerializeToString())


async def add_member(etcd: FakeEtcd, service: str, metrics_address: str = "") -> None:
    member = Member(
        service=service, instance=f"{service}-0-x", replica=f"{service}-0", metrics_address=metrics_address, version="1"
    )
    member.started_at.FromDatetime(START)
    await put(etcd, keys.member(service, member.instance), member)


async def add_owner(etcd: FakeEtcd, shard: int) -> int:
    owner = ShardOwner(instance="scheduler-0-x", replica="scheduler-0")
    return await put(etcd, keys.shard_owner(shard), owner)


async def add_watermark(etcd: FakeEtcd, shard: int, moment: datetime = START) -> None:
    watermark = Watermark()
    watermark.time.FromDatetime(moment)
    await put(etcd, keys.shard_watermark(shard), watermark)


async def add_finding(etcd: FakeEtcd, replica: str, subject: str, since: datetime) -> None:
    finding = Finding(kind=Finding.BEHIND, subject=subject, message="late", fix="look at history", replica=replica)
    finding.since.FromDatetime(since)
    await put(etcd, keys.findings(f"{replica}-x"), Findings(findings=[finding]))


async def add_well_cluster(etcd: FakeEtcd, shard_count: int = 2) -> None:
    meta = ClusterMeta(cluster_id="c", shard_count=shard_count, format_version=1)
    meta.created_at.FromDatetime(START)
    await put(etcd, keys.META, meta)
    for service in SERVICES:
        await add_member(etcd, service)
    for shard in range(shard_count):
        await add_owner(etcd, shard)
        await add_watermark(etcd, shard)
