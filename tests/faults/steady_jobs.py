"""Jobs that fire every second, spread over all shards and over the second: for measurements of gaps."""

import asyncio

import httpx

from tests.faults.clock import SECOND_US, now_us, sleep_until
from tests.faults.cluster import ENDPOINT, Cluster, status_of

COUNT = 120
STATUS_WITHIN_S = 30.0


async def create_jobs(cluster: Cluster, count: int = COUNT) -> tuple[str, ...]:
    """`@every 1s` counts from the creation of each job: created over a second, they fire all over each second."""
    names = tuple(f"steady-{number:03}" for number in range(count))
    began = now_us()
    async with cluster.api() as api:
        for number, name in enumerate(names):
            await sleep_until(began + number * SECOND_US // count)
            await _create(api, name, cluster.links[ENDPOINT])
    return names


async def owners(cluster: Cluster) -> dict[int, str]:
    """The replica that owns each shard. Raises TimeoutError when not every shard gets an owner."""
    async with asyncio.timeout(STATUS_WITHIN_S):
        while True:
            status = await status_of(cluster)
            found = {shard.get("shard", 0): shard.get("owner", "") for shard in status.get("shards", [])}
            if found and all(found.values()):
                return found
            await asyncio.sleep(0.2)


async def _create(api: httpx.AsyncClient, name: str, address: str) -> None:
    document = {
        "id": name,
        "name": name,
        "schedule": "@every 1s",
        "concurrency": "ALLOW",
        "timeout": "5s",
        "webhook": {"url": f"http://{address}/ok"},
    }
    answer = await api.post("/api/v1/jobs", json=document)
    answer.raise_for_status()
