import pytest
from chronos.cluster.v1.cluster_pb2 import ClusterMeta

from libs.etcd import keys
from libs.etcd.meta import ensure_meta
from libs.faults import WrongState
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd


async def test_the_first_process_fixes_the_facts() -> None:
    etcd, clock = FakeEtcd(FakeClock()), FakeClock()
    first = await ensure_meta(etcd, 16, clock, new_id=lambda: "one")
    second = await ensure_meta(etcd, 64, clock, new_id=lambda: "two")
    assert first == second
    assert (first.cluster_id, first.shard_count, first.format_version) == ("one", 16, 1)
    assert first.created_at.ToDatetime() == clock.now().replace(tzinfo=None)


async def test_ids_are_random_and_the_default_is_64_shards() -> None:
    one = await ensure_meta(FakeEtcd())
    two = await ensure_meta(FakeEtcd())
    assert one.cluster_id != two.cluster_id
    assert one.shard_count == 64


async def test_a_newer_format_is_refused() -> None:
    etcd = FakeEtcd()
    await etcd.put(keys.META, ClusterMeta(cluster_id="x", shard_count=1, format_version=2).SerializeToString())
    with pytest.raises(WrongState) as caught:
        await ensure_meta(etcd)
    assert "Upgrade" in caught.value.message
