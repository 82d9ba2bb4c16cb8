"""Every kind of fault that the suite knows."""

from collections.abc import Mapping

from tests.faults.nemeses import clocks, database, endpoint, etcd, network, processes
from tests.faults.nemeses.nemesis import Nemesis

NEMESES: Mapping[str, Nemesis] = {
    nemesis.kind: nemesis
    for nemesis in (
        *processes.KINDS,
        *network.KINDS,
        *etcd.KINDS,
        *database.KINDS,
        *endpoint.KINDS,
        *clocks.KINDS,
    )
}
SHORT = (
    "kill-scheduler",
    "pause-scheduler",
    "kill-dispatcher",
    "partition-scheduler-etcd",
    "kill-history",
    "restart-service",
    "kill-etcd-leader",
    "partition-dispatcher-history",
)
"""Kinds for a run of two minutes."""
