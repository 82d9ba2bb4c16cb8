"""The nodes of the mesh under test. Pure."""

from dataclasses import dataclass

POSTGRES = "postgres"
RECEIVER = "receiver"
ENVOY = "envoy-0"
ETCD_LEADER = "etcd-leader"
"""Stands for the member that leads when the fault begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many of each there are. Without PostgreSQL there is one history, on SQLite."""

    schedulers: int = 3
    dispatchers: int = 2
    histories: int = 2
    policies: int = 2
    etcd_members: int = 3
    has_postgres: bool = True
    has_small_disk: bool = True
    """Whether PostgreSQL's data lies on a disk of its own that can be filled."""
    has_movable_clocks: bool = True
    """Whether the clocks of single services can be moved."""

    @property
    def services(self) -> tuple[str, ...]:
        """Every replica of every service."""
        replicas = ("scheduler", "dispatcher", "history", "policy", "gateway")
        return tuple(replica for name in replicas for replica in self.of(name))

    @property
    def members(self) -> tuple[str, ...]:
        """Every member of etcd."""
        return self.of("etcd")

    @property
    def nodes(self) -> tuple[str, ...]:
        """Everything that has links to others, but for the customer's endpoint."""
        return (*self.services, *self.members, ENVOY, *((POSTGRES,) if self.has_postgres else ()))

    def of(self, name: str) -> tuple[str, ...]:
        """The replicas of one service, or the members of etcd."""
        counts = {
            "scheduler": self.schedulers,
            "dispatcher": self.dispatchers,
            "history": self.histories,
            "policy": self.policies,
            "gateway": 1,
            "etcd": self.etcd_members,
        }
        return tuple(f"{name}-{index}" for index in range(counts[name]))


SQLITE_LAYOUT = Layout(histories=1, has_postgres=False, has_small_disk=False)
