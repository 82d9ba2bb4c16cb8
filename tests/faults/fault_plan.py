"""Which faults happen when: a pure function of the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.layout import Layout
from tests.faults.nemeses.catalog import NEMESES
from tests.faults.nemeses.nemesis import Nodes

FIRST_AT_S = 15.0
GAP_S = (9.0, 14.0)
"""Quiet time between two faults: longer than any recovery that is promised, so that quiet times exist."""
TOGETHER = 0.2
"""How often a second fault begins while the first lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """One fault. `at_s` counts from the start of the workload; `lasts_s` does not hold for kills."""

    at_s: float
    kind: str
    nodes: Nodes
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.kind:<32} {self.lasts_s:4.1f} s  {' '.join(self.nodes)}"


def plan_faults(
    seed: int, duration_s: float, layout: Layout, kinds: Sequence[str] = tuple(NEMESES)
) -> tuple[PlannedFault, ...]:
    """Every kind once in a seeded order, then again in another one, until the time is over."""
    random = Random(f"faults {seed}")
    faults: list[PlannedFault] = []
    bag: list[str] = []
    now = FIRST_AT_S
    while now < duration_s:
        if not bag:
            bag = [kind for kind in kinds if NEMESES[kind].is_possible(layout)]
            random.shuffle(bag)
        first = _fault(random, bag.pop(), now, layout)
        faults.append(first)
        now += first.lasts_s
        if bag and random.random() < TOGETHER:
            second = _fault(random, bag.pop(), first.at_s + first.lasts_s / 2, layout)
            faults.append(second)
            now = max(now, second.at_s + second.lasts_s)
        now += random.uniform(*GAP_S)
    return tuple(faults)


def _fault(random: Random, kind: str, at_s: float, layout: Layout) -> PlannedFault:
    nemesis = NEMESES[kind]
    return PlannedFault(
        at_s=round(at_s, 1),
        kind=kind,
        nodes=nemesis.choose(random, layout),
        lasts_s=round(random.uniform(nemesis.shortest_s, nemesis.longest_s), 1),
    )
