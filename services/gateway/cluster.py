"""The cluster's state with its problems, for operators and for `/health`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from libs.clock import Clock
from services.gateway.domain.cluster import Cluster, problems_of
from services.gateway.ports import ClusterReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A cluster and what is wrong with it."""

    cluster: Cluster
    problems: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Reads and judges the cluster."""

    reader: ClusterReader
    clock: Clock
    expected_services: tuple[str, ...]
    watermark_tolerance: timedelta
    _recent: "_Recent" = field(default_factory=lambda: _Recent())

    async def diagnose(self) -> Diagnosis:
        """The state now. Raises Unavailable when etcd does not answer."""
        cluster = await self.reader.read()
        problems = problems_of(
            cluster,
            now=self.clock.now(),
            expected_services=self.expected_services,
            watermark_tolerance=self.watermark_tolerance,
        )
        diagnosis = Diagnosis(cluster=cluster, problems=problems)
        self._recent.diagnosis, self._recent.moment = diagnosis, self.clock.monotonic()
        return diagnosis

    async def recent(self, at_most: timedelta) -> Diagnosis:
        """A diagnosis that may be as old as `at_most`, so that anybody may ask often. Raises Unavailable."""
        recent = self._recent
        if recent.diagnosis and self.clock.monotonic() - recent.moment <= at_most.total_seconds():
            return recent.diagnosis
        return await self.diagnose()


@dataclass(slots=True)
class _Recent:
    diagnosis: Diagnosis | None = None
    moment: float = 0.0
