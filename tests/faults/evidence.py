"""Gathers what the checker needs: the receiver's log and the ledger."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.faults.cluster import Cluster
from tests.faults.history import Arrival, Record
from tests.faults.receiver import moment_us

PAGE = 1000
TRIES = 10


def arrivals_of(log: Path) -> tuple[Arrival, ...]:
    """What the receiver wrote down. Lines of requests that are still open have no end."""
    return tuple(Arrival(**fields) for fields in _merged(log).values())


def _merged(log: Path) -> dict[int, dict[str, Any]]:
    requests: dict[int, dict[str, Any]] = {}
    for fields in _lines(log):
        number = fields.pop("n")
        requests.setdefault(number, {"ended_us": None, "status": 0}).update(fields)
    return requests


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    with log.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


async def records_of(cluster: Cluster) -> tuple[Record, ...]:
    """Everything in the ledger, of deleted jobs too."""
    records: dict[str, Record] = {}
    token = ""
    async with cluster.api(timeout_s=30) as api:
        while True:
            page = await _page(api, token)
            records |= {row["id"]: record_of(row) for row in page.get("executions", [])}
            token = page.get("next_page_token", "")
            if not token:
                return tuple(records.values())


async def _page(api: httpx.AsyncClient, token: str) -> dict[str, Any]:
    for again in range(TRIES):
        answer = await api.get("/api/v1/executions", params={"page_size": PAGE, "page_token": token})
        if answer.status_code == 200:
            return dict(answer.json())
        await asyncio.sleep(again / 2)
    raise RuntimeError(f"the ledger cannot be read: {answer.status_code} {answer.text[:300]}")


def record_of(row: dict[str, Any]) -> Record:
    """An execution as REST shows it."""
    return Record(
        execution_id=row["id"],
        job=f"{row['namespace']}/{row['job_id']}",
        uid=row["job_uid"],
        scheduled_us=moment_us(row["scheduled_time"]),
        status=row["status"],
        reason_code=row.get("reason_code", "REASON_UNSPECIFIED"),
        reason=row.get("reason", ""),
        cause=row["cause"],
        delivery=int(row.get("delivery", 0)),
        attempts=int(row.get("attempt_count", 0)),
        skipped_until_us=moment_us(row["skipped_until"]) if row.get("skipped_until") else None,
        skipped_count=int(row.get("skipped_count", 0)),
        completed_us=moment_us(row["completed_at"]) if row.get("completed_at") else None,
        parent_ids=tuple(row.get("parent_execution_ids", ())),
    )
