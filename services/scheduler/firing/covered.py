"""Whether the ledger took records that stand for several skipped runs."""

from collections.abc import Sequence
from datetime import datetime

from chronos.history.v1 import execution_pb2

from services.scheduler.convert.firing import instant
from services.scheduler.ports.ledger import Ledger, Note

Execution = execution_pb2.Execution
IDS_PER_LOOK = 500


async def covered_until(ledger: Ledger, notes: Sequence[Note]) -> dict[str, datetime]:
    """Up to where the ledger explains, for each of these notes that it kept something else for, by execution id.

    The first record of an execution that is final stays: that of a run which began late, or of a shorter stretch.
    Raises Unavailable.
    """
    by_namespace: dict[str, dict[str, Execution]] = {}
    for note in notes:
        by_namespace.setdefault(note.execution.namespace, {})[note.execution.id] = note.execution
    covered: dict[str, datetime] = {}
    for namespace, told in by_namespace.items():
        ids = list(told)
        for start in range(0, len(ids), IDS_PER_LOOK):
            found = await ledger.find(namespace, ids=ids[start : start + IDS_PER_LOOK])
            for kept in found.executions:
                until = instant(kept.skipped_until if kept.HasField("skipped_until") else kept.scheduled_time)
                if until < instant(told[kept.id].skipped_until):
                    covered[kept.id] = until
    return covered
