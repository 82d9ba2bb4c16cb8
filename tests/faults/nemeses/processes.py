"""Processes die, stand still, and are restarted."""

import asyncio
import signal
from random import Random

from tests.faults.cluster import Cluster
from tests.faults.layout import ENVOY, Layout
from tests.faults.nemeses.nemesis import Nemesis, Nodes, one_of


async def kill(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
    """kill -9; over when they are back. The supervisor starts them again, so nothing waits for `seconds`."""
    return await _end(cluster, nodes, signal.SIGKILL)


async def restart(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
    """SIGTERM: they drain and end; over when they are back."""
    return await _end(cluster, nodes, signal.SIGTERM)


async def pause(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
    """SIGSTOP for longer than the lease, then SIGCONT: they go on as if nothing had happened."""
    for node in nodes:
        cluster.signal(node, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for node in nodes:
            cluster.signal(node, signal.SIGCONT)
    return nodes


async def _end(cluster: Cluster, nodes: Nodes, number: signal.Signals) -> Nodes:
    before = {node: cluster.signal(node, number) for node in nodes}
    for node, pid in before.items():
        await cluster.back(node, pid)
    return nodes


def _two_members(random: Random, layout: Layout) -> Nodes:
    return tuple(random.sample(layout.members, 2))


def _one_of_each(random: Random, layout: Layout) -> Nodes:
    return (random.choice(layout.of("scheduler")), random.choice(layout.of("dispatcher")))


def _any_service(random: Random, layout: Layout) -> Nodes:
    return (random.choice((*layout.services, ENVOY)),)


LONGER_THAN_THE_LEASE_S = 3.5
KINDS = (
    Nemesis(kind="kill-scheduler", choose=one_of("scheduler"), strike=kill),
    Nemesis(kind="kill-dispatcher", choose=one_of("dispatcher"), strike=kill),
    Nemesis(kind="kill-history", choose=one_of("history"), strike=kill),
    Nemesis(kind="kill-policy", choose=one_of("policy"), strike=kill),
    Nemesis(kind="kill-all-policies", choose=lambda random, layout: layout.of("policy"), strike=kill),
    Nemesis(kind="kill-edge", choose=lambda random, layout: (random.choice(("gateway-0", ENVOY)),), strike=kill),
    Nemesis(kind="kill-scheduler-and-dispatcher", choose=_one_of_each, strike=kill),
    Nemesis(kind="kill-etcd", choose=one_of("etcd"), strike=kill),
    Nemesis(kind="kill-two-of-etcd", choose=_two_members, strike=kill),
    Nemesis(kind="pause-scheduler", choose=one_of("scheduler"), strike=pause, shortest_s=LONGER_THAN_THE_LEASE_S),
    Nemesis(kind="pause-dispatcher", choose=one_of("dispatcher"), strike=pause, shortest_s=LONGER_THAN_THE_LEASE_S),
    Nemesis(kind="pause-history", choose=one_of("history"), strike=pause, shortest_s=LONGER_THAN_THE_LEASE_S),
    Nemesis(kind="pause-policy", choose=one_of("policy"), strike=pause, shortest_s=LONGER_THAN_THE_LEASE_S),
    Nemesis(kind="pause-etcd", choose=one_of("etcd"), strike=pause, shortest_s=LONGER_THAN_THE_LEASE_S),
    Nemesis(kind="restart-service", choose=_any_service, strike=restart),
)
