"""The facts that are fixed when a cluster is created."""

from collections.abc import Callable
from uuid import uuid4

from chronos.cluster.v1.cluster_pb2 import ClusterMeta

from libs.clock import Clock, SystemClock
from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Get, Put
from libs.faults import WrongState

FORMAT_VERSION = 1
DEFAULT_SHARD_COUNT = 64


def _random_id() -> str:
    return str(uuid4())


async def ensure_meta(
    client: Etcd,
    shard_count: int = DEFAULT_SHARD_COUNT,
    clock: Clock | None = None,
    *,
    new_id: Callable[[], str] = _random_id,
) -> ClusterMeta:
    """The cluster's facts; creates them, with `shard_count`, if this is the first process ever.

    Safe to repeat and to call from all replicas at once: all get what the first one wrote. Raises WrongState when a
    newer release wrote a format that this one cannot read.
    """
    meta = ClusterMeta(cluster_id=new_id(), shard_count=shard_count, format_version=FORMAT_VERSION)
    meta.created_at.FromDatetime((clock or SystemClock()).now())
    result = await client.txn([Compare.absent(keys.META)], [Put(keys.META, meta.SerializeToString())], [Get(keys.META)])
    if not result.succeeded and (found := result.responses[0].item):
        meta = ClusterMeta.FromString(found.value)
    if meta.format_version > FORMAT_VERSION:
        raise WrongState(
            f"etcd holds format {meta.format_version}; this release reads {FORMAT_VERSION}. Upgrade this process.",
            reason="FORMAT_TOO_NEW",
        )
    return meta
