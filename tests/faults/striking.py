"""Strikes as planned, and writes down when each fault began and ended."""

import asyncio
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.faults.clock import SECOND_US, now_us, sleep_until
from tests.faults.cluster import Cluster
from tests.faults.fault_plan import PlannedFault
from tests.faults.history import FaultSpan, Phase
from tests.faults.nemeses.catalog import NEMESES

STRIKE_WITHIN_S = 120.0


@dataclass(slots=True, kw_only=True)
class FaultLog:
    """Faults that are over, and those that could not be mended."""

    spans: list[FaultSpan] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def phases(self, began_us: int, ended_us: int, recovery_us: int) -> tuple[Phase, ...]:
        """Each fault with its recovery, and the quiet times between them."""
        found: list[Phase] = []
        quiet_from = began_us
        for span in sorted(self.spans, key=lambda span: span.began_us):
            if span.began_us > quiet_from:
                found.append(Phase(name="quiet", began_us=quiet_from, ended_us=span.began_us))
            until = span.ended_us + recovery_us
            found.append(Phase(name=span.kind, began_us=span.began_us, ended_us=until))
            quiet_from = max(quiet_from, until)
        if quiet_from < ended_us:
            found.append(Phase(name="quiet", began_us=quiet_from, ended_us=ended_us))
        return tuple(found)


async def strike_all(
    cluster: Cluster, planned: Sequence[PlannedFault], began_us: int, log: FaultLog, tell: Callable[[str], None]
) -> None:
    """Strikes at each planned time; returns when the last fault is mended."""
    async with asyncio.TaskGroup() as group:
        for fault in planned:
            await sleep_until(began_us + int(fault.at_s * SECOND_US))
            group.create_task(_strike(cluster, fault, log, tell))


async def _strike(cluster: Cluster, fault: PlannedFault, log: FaultLog, tell: Callable[[str], None]) -> None:
    began = now_us()
    nodes = fault.nodes
    try:
        async with asyncio.timeout(STRIKE_WITHIN_S):
            nodes = await NEMESES[fault.kind].strike(cluster, fault.nodes, fault.lasts_s)
    except Exception as error:  # noqa: BLE001 - a fault that cannot be made or mended is told, and the run goes on
        log.failures.append(f"{fault.kind} {' '.join(nodes)}: {type(error).__name__} {error}")
        tell("".join(traceback.format_exception_only(error)).strip())
    ended = now_us()
    behind = NEMESES[fault.kind].clock_behind_us
    log.spans.append(FaultSpan(kind=fault.kind, nodes=nodes, began_us=began, ended_us=ended, clock_behind_us=behind))
    tell(f"{fault.kind} {' '.join(nodes)}: {(ended - began) / SECOND_US:.1f} s")
