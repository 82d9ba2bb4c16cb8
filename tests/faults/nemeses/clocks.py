"""The wall clock of one service jumps, and later jumps back.

A scheduler's clock only falls behind: one that is ahead fires early by as much, which it cannot know from inside.
"""

import asyncio
from collections.abc import Awaitable, Callable

from tests.faults.cluster import Cluster
from tests.faults.layout import Layout
from tests.faults.movable_clocks import move_clock
from tests.faults.nemeses.nemesis import Nemesis, Nodes, one_of

SECOND_US = 1_000_000


def _jump(offset_us: int) -> Callable[[Cluster, Nodes, float], Awaitable[Nodes]]:
    async def strike(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
        folder = cluster.data_dir.parent
        for node in nodes:
            move_clock(folder, node, offset_us)
        try:
            await asyncio.sleep(seconds)
        finally:
            for node in nodes:
                move_clock(folder, node, 0)
        return nodes

    return strike


def _has_movable_clocks(layout: Layout) -> bool:
    return layout.has_movable_clocks


KINDS = (
    Nemesis(
        kind="clock-back-3s",
        choose=one_of("scheduler", "dispatcher", "history"),
        strike=_jump(-3 * SECOND_US),
        clock_behind_us=3 * SECOND_US,
        is_possible=_has_movable_clocks,
    ),
    Nemesis(
        kind="clock-ahead-1h",
        choose=one_of("dispatcher", "history"),
        strike=_jump(3600 * SECOND_US),
        is_possible=_has_movable_clocks,
    ),
)
