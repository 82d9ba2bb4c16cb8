"""Is the mesh as it should be, once everything is healed?"""

from datetime import UTC, datetime, timedelta

from chronos.cluster.v1 import cluster_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from tests.simulation.plan import SERVICES, Plan

WATERMARKS_BEHIND = 20


async def find_unhealthy(etcd: Etcd, now: datetime, plan: Plan) -> list[str]:
    """A sentence for everything that stands still: replicas that are no members, shards without owner, watermarks."""
    found = []
    members = await etcd.list_prefix(keys.MEMBERS)
    replicas = {cluster_pb2.Member.FromString(item.value).replica for item in members.items}
    found += [f"{replica} is no member" for replica in SERVICES if replica not in replicas]
    latest = now - max(WATERMARKS_BEHIND * plan.pace.watermark, timedelta(seconds=10))
    for shard in range(plan.shards):
        if await etcd.get(keys.shard_owner(shard)) is None:
            found.append(f"shard {shard} has no owner")
        mark = await etcd.get(keys.shard_watermark(shard))
        moment = cluster_pb2.Watermark.FromString(mark.value).time.ToDatetime(UTC) if mark else None
        if moment is None or moment < latest:
            found.append(f"the watermark of shard {shard} stands at {moment}, now is {now}")
    for item in (await etcd.list_prefix(keys.TRIGGERS)).items:
        found.append(f"left over: {item.key.decode()}")
    return found
