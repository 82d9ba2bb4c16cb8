"""Breaks things as a plan says, and heals them."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import product

from libs.faults import Unavailable
from tests.faults.history import FaultSpan
from tests.simulation.clock import TrueTime
from tests.simulation.database import Database
from tests.simulation.endpoint import Endpoint, Mood
from tests.simulation.etcd import SimEtcd
from tests.simulation.machines import Machine
from tests.simulation.network import Network
from tests.simulation.plan import MEMBERS, Fault, FaultKind

# A watch that is later than that is one that etcd itself would end.
LATEST_WATCH = 0.5
FULL = Unavailable("The disk is full.", reason="LEDGER_FULL")
MOODS = {FaultKind.FAILING: Mood.FAILING, FaultKind.HANGING: Mood.HANGING, FaultKind.LATE_ANSWERS: Mood.SLOW}


class Nemesis:
    """Several faults may overlap: a link stays cut until the last fault that cuts it is over."""

    def __init__(
        self,
        *,
        network: Network,
        machines: Mapping[str, Machine],
        etcd: SimEtcd,
        database: Database,
        endpoint: Endpoint,
        time: TrueTime,
    ) -> None:
        self.spans: list[FaultSpan] = []
        self._network = network
        self._machines = machines
        self._etcd = etcd
        self._database = database
        self._endpoint = endpoint
        self._time = time
        self._active: list[Fault] = []

    async def run(self, faults: Sequence[Fault]) -> None:
        """Causes all faults at their times, counted from now; returns when the last one is over and all is healed."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._cause(fault))

    async def _cause(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        began_us = self._time.now_us()
        self._active.append(fault)
        self._begin(fault)
        await asyncio.sleep(fault.seconds)
        self._active.remove(fault)
        self._end(fault)
        self.spans.append(
            FaultSpan(
                kind=fault.kind.value,
                nodes=(*fault.nodes, *fault.others),
                began_us=began_us,
                ended_us=self._time.now_us(),
            )
        )

    def _begin(self, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.KILL:
                self._machines[fault.nodes[0]].kill()
            case FaultKind.RESTART:
                self._machines[fault.nodes[0]].stop()
            case FaultKind.PAUSE:
                self._machines[fault.nodes[0]].pause()
            case FaultKind.CLOCK:
                self._time.errors[fault.nodes[0]] += timedelta(seconds=fault.amount)
            case FaultKind.STALL:
                self._network.stall(fault.nodes[0], fault.others[0], fault.seconds)
            case FaultKind.ETCD_KILL:
                self._etcd.kill(fault.nodes[0])
            case FaultKind.ETCD_PAUSE:
                self._etcd.pause(fault.nodes[0])
            case FaultKind.ETCD_LEADER:
                self._etcd.lose_leader()
            case FaultKind.ETCD_COMPACT:
                self._etcd.compact()
            case FaultKind.ETCD_LAG:
                self._etcd.lag(fault.nodes[0], fault.seconds)
            case FaultKind.ETCD_WATCHES:
                self._etcd.delay_watches(min(fault.seconds, LATEST_WATCH))
            case FaultKind.ETCD_ANSWERS:
                self._etcd.lose_answers(round(fault.amount))
            case FaultKind.LEDGER_FULL:
                self._database.fault = FULL
            case FaultKind.FAILING | FaultKind.HANGING | FaultKind.LATE_ANSWERS:
                self._endpoint.mood = MOODS[fault.kind]
            case _:
                self._connect()

    def _end(self, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.KILL:
                self._machines[fault.nodes[0]].start()
            case FaultKind.PAUSE:
                self._machines[fault.nodes[0]].resume()
            case FaultKind.CLOCK:
                self._time.errors[fault.nodes[0]] -= timedelta(seconds=fault.amount)
            case FaultKind.ETCD_KILL:
                self._etcd.restart(fault.nodes[0])
            case FaultKind.ETCD_PAUSE:
                self._etcd.resume(fault.nodes[0])
            case FaultKind.ETCD_LAG:
                self._etcd.lag(fault.nodes[0], 0)
            case FaultKind.ETCD_WATCHES:
                self._etcd.delay_watches(0)
            case FaultKind.ETCD_ANSWERS:
                self._etcd.lose_answers(0)
            case FaultKind.LEDGER_FULL:
                self._database.fault = FULL if self._is_active(FaultKind.LEDGER_FULL) else None
            case FaultKind.FAILING | FaultKind.HANGING | FaultKind.LATE_ANSWERS:
                others = [MOODS[other.kind] for other in self._active if other.kind in MOODS]
                self._endpoint.mood = others[-1] if others else Mood.WELL
            case _:
                self._connect()

    def _is_active(self, kind: FaultKind) -> bool:
        return any(fault.kind is kind for fault in self._active)

    def _connect(self) -> None:
        """Gives every link the state that the active faults leave it in."""
        cut: dict[tuple[str, str], None] = {}
        slow: dict[tuple[str, str], float] = {}
        for fault in self._active:
            match fault.kind:
                case FaultKind.CUT | FaultKind.NO_ETCD:
                    cut |= dict.fromkeys(product(fault.nodes, fault.others))
                    cut |= dict.fromkeys(product(fault.others, fault.nodes))
                case FaultKind.ONE_WAY:
                    cut |= dict.fromkeys(product(fault.nodes, fault.others))
                case FaultKind.ETCD_CUT:
                    rest = [member for member in MEMBERS if member not in fault.nodes]
                    cut |= dict.fromkeys([*product(fault.nodes, rest), *product(rest, fault.nodes)])
                case FaultKind.SLOW:
                    slow |= {pair: fault.amount for pair in product(fault.nodes, fault.others) if pair[0] < pair[1]}
                case _:
                    pass
        self._network.heal_all()
        for source, target in cut:
            if source != target:
                self._network.cut(source, target, is_one_way=True)
        for (source, target), extra in slow.items():
            self._network.slow(source, target, extra)
