"""What breaks things: one kind of fault."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from tests.faults.cluster import Cluster
from tests.faults.layout import Layout

Nodes = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nemesis:
    """`choose` picks victims from a seeded source. `strike` breaks them, waits `seconds`, and mends them: when it
    returns, the fault is over. It may give other nodes than it was told, where they are known only then.
    """

    kind: str
    choose: Callable[[Random, Layout], Nodes]
    strike: Callable[[Cluster, Nodes, float], Awaitable[Nodes]]
    shortest_s: float = 3.0
    longest_s: float = 10.0
    is_possible: Callable[[Layout], bool] = lambda layout: True
    clock_behind_us: int = 0
    """By how much it sets a wall clock back."""


def one_of(*names: str) -> Callable[[Random, Layout], Nodes]:
    """Picks one replica of any of some services."""

    def choose(random: Random, layout: Layout) -> Nodes:
        return (random.choice([replica for name in names for replica in layout.of(name)]),)

    return choose


def always(*nodes: str) -> Callable[[Random, Layout], Nodes]:
    """Picks what there is no choice of."""
    return lambda random, layout: nodes
