"""The network breaks between groups of nodes, or becomes slow."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random

from tests.faults.cluster import Cluster
from tests.faults.layout import POSTGRES, RECEIVER, Layout
from tests.faults.links import Mode, Rule, between, one_way
from tests.faults.nemeses.nemesis import Nemesis, Nodes, one_of

LONGER_THAN_RUNS_WAIT_S = 14.0
"""A run waits for policies for 10 s."""
ELSE = "|"
"""Stands between two groups of nodes."""


def _while(rules: Callable[[Cluster, Nodes], Iterable[Rule]]) -> Callable[[Cluster, Nodes, float], Awaitable[Nodes]]:
    async def strike(cluster: Cluster, nodes: Nodes, seconds: float) -> Nodes:
        async with cluster.rules(rules(cluster, nodes)):
            await asyncio.sleep(seconds)
        return tuple(node for node in nodes if node != ELSE)

    return strike


def _everybody_else(cluster: Cluster, nodes: Nodes) -> Nodes:
    return tuple(node for node in (*cluster.layout.nodes, RECEIVER) if node not in nodes)


def _groups(nodes: Nodes) -> tuple[Nodes, Nodes]:
    place = nodes.index(ELSE)
    return nodes[:place], nodes[place + 1 :]


def _isolated(cluster: Cluster, nodes: Nodes) -> Iterable[Rule]:
    return between(nodes, _everybody_else(cluster, nodes), Mode.CUT)


def _silenced(cluster: Cluster, nodes: Nodes) -> Iterable[Rule]:
    return one_way(nodes, _everybody_else(cluster, nodes), Mode.CUT)


def _deafened(cluster: Cluster, nodes: Nodes) -> Iterable[Rule]:
    return one_way(_everybody_else(cluster, nodes), nodes, Mode.CUT)


def _apart(cluster: Cluster, nodes: Nodes) -> Iterable[Rule]:
    return between(*_groups(nodes), Mode.CUT)


def _refused(cluster: Cluster, nodes: Nodes) -> Iterable[Rule]:
    return between(*_groups(nodes), Mode.RESET)


def _slow(cluster: Cluster, nodes: Nodes) -> Iterable[Rule]:
    return between(nodes, (*cluster.layout.nodes, RECEIVER), Mode.SLOW, delay_ms=40, jitter_ms=40)


def _narrow(cluster: Cluster, nodes: Nodes) -> Iterable[Rule]:
    return between(
        nodes, (*cluster.layout.nodes, RECEIVER), Mode.SLOW, delay_ms=5, jitter_ms=10, bytes_per_second=200_000
    )


def _halves(random: Random, layout: Layout) -> Nodes:
    """Each service and etcd in two parts; the database and the customers' endpoint stay with everybody."""
    left = [node for node in (*layout.services, *layout.members) if random.random() < 0.5]
    left = left or [layout.services[0]]
    return (*left, ELSE, *(node for node in (*layout.services, *layout.members) if node not in left))


def _pair(one: str, other: str) -> Callable[[Random, Layout], Nodes]:
    """One replica of a service, and every replica of another."""

    def choose(random: Random, layout: Layout) -> Nodes:
        return (random.choice(layout.of(one)), ELSE, *layout.of(other))

    return choose


def _from_database(random: Random, layout: Layout) -> Nodes:
    return (random.choice(layout.of("history")), ELSE, POSTGRES)


ANY = ("scheduler", "dispatcher", "history", "policy", "etcd")
KINDS = (
    Nemesis(kind="partition-halves", choose=_halves, strike=_while(_apart)),
    Nemesis(kind="partition-one-node", choose=one_of(*ANY), strike=_while(_isolated)),
    Nemesis(kind="partition-one-way-out", choose=one_of(*ANY), strike=_while(_silenced)),
    Nemesis(kind="partition-one-way-in", choose=one_of(*ANY), strike=_while(_deafened)),
    Nemesis(kind="partition-scheduler-etcd", choose=_pair("scheduler", "etcd"), strike=_while(_apart)),
    Nemesis(kind="partition-dispatcher-history", choose=_pair("dispatcher", "history"), strike=_while(_apart)),
    Nemesis(kind="partition-scheduler-dispatcher", choose=_pair("scheduler", "dispatcher"), strike=_while(_apart)),
    Nemesis(kind="refused-scheduler-dispatcher", choose=_pair("scheduler", "dispatcher"), strike=_while(_refused)),
    Nemesis(
        kind="partition-scheduler-policy",
        choose=_pair("scheduler", "policy"),
        strike=_while(_apart),
        shortest_s=8.0,
        longest_s=LONGER_THAN_RUNS_WAIT_S,
    ),
    Nemesis(
        kind="partition-history-postgres",
        choose=_from_database,
        strike=_while(_apart),
        is_possible=lambda layout: layout.has_postgres,
    ),
    Nemesis(kind="partition-etcd-member", choose=one_of("etcd"), strike=_while(_isolated)),
    Nemesis(kind="slow-node", choose=one_of(*ANY), strike=_while(_slow)),
    Nemesis(kind="narrow-node", choose=one_of(*ANY), strike=_while(_narrow)),
)
