"""The customer's endpoint fails, hangs, is slow, or breaks off."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.faults.cluster import Cluster
from tests.faults.layout import RECEIVER
from tests.faults.nemeses.nemesis import Nemesis, Nodes, always
from tests.faults.receiver import Mood


def _in_mood(mood: Mood) -> Callable[[Cluster, Nodes, float], Awaitable[Nodes]]:
    async def strike(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
        await cluster.receiver.order({"mood": mood})
        try:
            await asyncio.sleep(seconds)
        finally:
            await cluster.receiver.order({"mood": Mood.WELL})
        return nodes

    return strike


KINDS = tuple(
    Nemesis(kind=f"receiver-{mood}", choose=always(RECEIVER), strike=_in_mood(mood), longest_s=6.0)
    for mood in (Mood.FAIL, Mood.HANG, Mood.SLOW, Mood.BREAK)
)
