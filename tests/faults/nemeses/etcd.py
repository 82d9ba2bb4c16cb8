"""What etcd does to those who use it."""

import asyncio
import signal
from typing import Any

import httpx

from cli.chronos.ports import address
from tests.faults.cluster import Cluster
from tests.faults.layout import ETCD_LEADER
from tests.faults.links import Mode, between
from tests.faults.nemeses.nemesis import Nemesis, Nodes, always

PATIENCE_S = 5.0


async def leader_of(cluster: Cluster) -> str:
    """The member that leads now. Raises LookupError when none says so."""
    for member in cluster.layout.members:
        try:
            status = await _ask(cluster, member, "maintenance/status", {})
        except httpx.HTTPError:
            continue
        if status.get("leader") == status["header"]["member_id"]:
            return member
    raise LookupError("no member of etcd leads")


async def kill_leader(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
    """kill -9 to the member that leads; over when it is back."""
    leader = await leader_of(cluster)
    await cluster.back(leader, cluster.signal(leader, signal.SIGKILL))
    return (leader,)


async def isolate_leader(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
    """Nobody reaches the member that leads, nor the other way round."""
    leader = await leader_of(cluster)
    others = [node for node in cluster.layout.nodes if node != leader]
    async with cluster.rules(between((leader,), others, Mode.CUT)):
        await asyncio.sleep(seconds)
    return (leader,)


async def compact(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
    """Takes all old revisions away, while one scheduler's watches stand still, and defragments each member in turn."""
    async with cluster.rules(between(nodes, cluster.layout.members, Mode.CUT)):
        await asyncio.sleep(seconds)
        member = cluster.layout.members[0]
        revision = (await _ask(cluster, member, "kv/range", {"key": "AA=="}))["header"]["revision"]
        await _ask(cluster, member, "kv/compaction", {"revision": revision, "physical": True})
    for each in cluster.layout.members:
        await _ask(cluster, each, "maintenance/defragment", {})
    return (*nodes, *cluster.layout.members)


async def _ask(cluster: Cluster, member: str, path: str, body: dict[str, object]) -> dict[str, Any]:
    port = cluster.processes()[member].ports["client"]
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        answer = await client.post(f"http://{address(port)}/v3/{path}", json=body)
        answer.raise_for_status()
        return dict(answer.json())


KINDS = (
    Nemesis(kind="kill-etcd-leader", choose=always(ETCD_LEADER), strike=kill_leader),
    Nemesis(kind="isolate-etcd-leader", choose=always(ETCD_LEADER), strike=isolate_leader),
    Nemesis(
        kind="compact-etcd",
        choose=lambda random, layout: (random.choice(layout.of("scheduler")),),
        strike=compact,
        shortest_s=2.5,
        longest_s=5.0,
    ),
)
