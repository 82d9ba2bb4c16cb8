"""After the faults: is everything well again?"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from cli.chronos.health import check
from tests.faults.cluster import Cluster, status_of
from tests.faults.receiver import Mood

POLL_S = 1.0
HEALED_WITHIN_S = 90.0
SETTLED_WITHIN_S = 90.0
WATERMARK_BEHIND_S = 10.0


async def heal(cluster: Cluster) -> None:
    """Takes back whatever a fault may have left: cut links, stopped processes, moods."""
    await cluster.no_rules()
    await cluster.receiver.order({"mood": Mood.WELL})
    for process in cluster.processes().values():
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)


async def is_well(cluster: Cluster, tell: Callable[[str], None]) -> list[str]:
    """Waits until nothing is wrong any more. Gives what is still wrong after a minute and a half."""
    problems = ["nobody has looked yet"]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEALED_WITHIN_S):
            while problems := await _problems(cluster):
                tell(f"not yet well: {'; '.join(problems[:3])}")
                await asyncio.sleep(POLL_S)
    return problems


async def is_settled(cluster: Cluster) -> list[str]:
    """Waits until no execution is under way. Gives those that still are after a minute and a half."""
    left = ["nobody has looked yet"]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while left := await _unfinished(cluster):  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(POLL_S)
    return left


async def _problems(cluster: Cluster) -> list[str]:
    found = [
        f"{replica}: {health.detail}"
        for replica, process in cluster.processes().items()
        if not (health := await check(process.probe)).is_healthy
    ]
    return found + cluster_problems(await status_of(cluster), datetime.now(UTC), cluster.layout.services)


def cluster_problems(status: dict[str, Any], now: datetime, services: tuple[str, ...]) -> list[str]:
    """What the state of the cluster says: members that lack, shards without owner, watermarks that stay behind."""
    if not status:
        return ["the gateway does not tell the state of the cluster"]
    found = [str(problem) for problem in status.get("problems", [])]
    members = {member.get("replica") or member["instance"] for member in status.get("members", [])}
    lacking = [service for service in services if not any(name.startswith(service) for name in members)]
    found += [f"{service} is no member" for service in lacking]
    for shard in status.get("shards", []):
        number = shard.get("shard", 0)
        mark = shard.get("watermark", "")
        if not shard.get("owner"):
            found.append(f"shard {number} has no owner")
        elif not mark or (now - datetime.fromisoformat(mark)).total_seconds() > WATERMARK_BEHIND_S:
            found.append(f"the watermark of shard {number} is at {mark}")
    return found[:10]


async def _unfinished(cluster: Cluster) -> list[str]:
    params = {"status": ["RUNNING", "PENDING"], "page_size": "20"}
    try:
        async with cluster.api() as api:
            answer = await api.get("/api/v1/executions", params=params)
            rows = answer.json()["executions"]
    except (httpx.HTTPError, ValueError, KeyError):
        return ["the ledger does not answer"]
    return [f"{row['job_id']} {row['id']} is {row['status']} since {row['scheduled_time']}" for row in rows]
