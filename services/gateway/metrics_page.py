"""The metrics of the whole mesh on one page."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client.core import Metric

from libs.faults import Unavailable
from libs.log import get_logger
from services.gateway.cluster import Clusters
from services.gateway.domain.cluster import Replica
from services.gateway.exposition import MalformedPage, merge, parse, up
from services.gateway.ports import MetricsReader

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPage:
    """Reads the metrics of every live replica. `own_page` gives those of this process, which is `instance`."""

    clusters: Clusters
    reader: MetricsReader
    own_page: Callable[[], str]
    replica: str
    instance: str
    freshness: timedelta

    async def render(self) -> str:
        """All metrics, labelled with `service` and `replica`. Of a replica that does not answer: `chronos_up 0`.

        While etcd is away only this process's own are there.
        """
        others = await self._others()
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(self._read(replica)) for replica in others]
        own = ({"service": "gateway", "replica": self.replica}, [*parse(self.own_page()), up(True)])
        labels = [{"service": one.service, "replica": one.replica} for one in others]
        return merge([own, *zip(labels, [read.result() for read in reads], strict=True)])

    async def _others(self) -> Sequence[Replica]:
        try:
            cluster = (await self.clusters.recent(self.freshness)).cluster
        except Unavailable as fault:
            logger.warning("metrics of the other replicas not read", error=fault.message)
            return ()
        return [one for one in cluster.replicas if one.instance != self.instance and one.metrics_address]

    async def _read(self, replica: Replica) -> list[Metric]:
        try:
            return [*parse(await self.reader.read(replica.metrics_address)), up(True)]
        except (Unavailable, MalformedPage) as error:
            logger.warning("metrics not read", replica=replica.replica, error=str(error))
            return [up(False)]
