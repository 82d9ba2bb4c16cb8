"""Puts the invariant scan together."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from libs.etcd.membership import MemberWatch
from libs.etcd.ownership import ShardOwnership
from libs.mesh import Node
from services.scheduler.adapters.etcd_findings import EtcdFindingBoard
from services.scheduler.domain.timeline import Timeline
from services.scheduler.firing.admission import Admission
from services.scheduler.firing.audit import LedgerAudit
from services.scheduler.firing.begun import BegunVersions
from services.scheduler.firing.completions import Completions
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShards
from services.scheduler.firing.progress import Firing, Ownership, Writing
from services.scheduler.firing.scan import Scan
from services.scheduler.firing.settler import Settler
from services.scheduler.firing.standing import Standstills
from services.scheduler.firing.stuck import StuckRuns
from services.scheduler.ports.ledger import Ledger
from services.scheduler.settings import SchedulerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringParts:
    """What is looked at."""

    timeline: Timeline
    owned: OwnedShards
    outbox: Outbox
    admission: Admission
    completions: Completions
    begun: BegunVersions
    notes: Notes
    settler: Settler
    ownership: ShardOwnership
    dispatchers: MemberWatch


def scan_loops(
    node: Node, settings: SchedulerSettings, ledger: Ledger, parts: FiringParts
) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """The loops that look over the firing path of a replica, and show what they find."""
    clock, owned, outbox, ownership = node.clock, parts.owned, parts.outbox, parts.ownership
    member = node.member
    board = EtcdFindingBoard(node.etcd, node.lease, instance=member.instance, replica=member.replica, clock=clock)
    checks = (
        Firing(parts.timeline, owned, outbox, clock),
        Writing(parts.notes, parts.settler),
        Ownership(owned, lambda: ownership.wanted, lambda: ownership.claims),
        Standstills(owned, outbox, clock),
        StuckRuns(owned, outbox, ledger, clock),
        LedgerAudit(
            owned,
            outbox,
            parts.admission,
            parts.completions,
            parts.begun,
            ledger,
            lambda: parts.dispatchers.members,
            clock,
        ),
    )
    scan = Scan(checks, board, clock, interval=settings.scan_interval)
    return {"scan": scan.run, "findings": board.run}
