"""What the gateway's use cases need from outside."""

from typing import Protocol

from services.gateway.domain.cluster import Cluster


class ClusterReader(Protocol):
    """Where the cluster's state is read."""

    async def read(self) -> Cluster:
        """The state now. Raises Unavailable when it cannot be read."""


class MetricsReader(Protocol):
    """Where a replica's metrics are read."""

    async def read(self, address: str) -> str:
        """The page that `host:port` serves, in Prometheus's text format. Raises Unavailable."""
