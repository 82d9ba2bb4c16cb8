"""The customer's program that does accepted work: it reads in the receiver's log what came, and tells how it ended."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from tests.faults.checks.evidence import ACCEPTED
from tests.faults.clock import SECOND_US, now_us
from tests.faults.history import Call, CallKind, Outcome

LOOK_EVERY_S = 0.05
AGAIN_S = 0.3
PATIENCE_US = 60 * SECOND_US
LONGEST_S = 4.0
REPEATABLE = frozenset({404, 429})
"""With 5xx: the ledger may not have yet that the run began."""


@dataclass(frozen=True, slots=True)
class Work:
    """How the work of one execution goes; the same whenever it is asked for."""

    seconds: float
    end: str
    """`SUCCESS`, `FAILED`, or nothing when its end is never told."""


def work_of(execution_id: str) -> Work:
    """Of ten runs two fail and one is forgotten."""
    draw = hashlib.sha256(execution_id.encode()).digest()
    ends = ("SUCCESS",) * 7 + ("FAILED",) * 2 + ("",)
    return Work(seconds=draw[0] / 255 * LONGEST_S, end=ends[draw[1] % len(ends)])


class Completer:
    """`calls` are complete at any time: one that is not answered yet may have been heard."""

    def __init__(self, api: httpx.AsyncClient, log: Path) -> None:
        """`log` is the receiver's."""
        self.calls: list[Call] = []
        self._api = api
        self._log = log

    async def run(self) -> None:
        """Tells the end of all that is accepted; until cancelled."""
        requests: dict[int, dict[str, Any]] = {}
        async with asyncio.TaskGroup() as group:
            with self._log.open(encoding="utf-8") as file:
                begun = ""
                while True:
                    begun += file.readline()
                    if not begun.endswith("\n"):
                        await asyncio.sleep(LOOK_EVERY_S)
                        continue
                    fields, begun = json.loads(begun), ""
                    if "execution_id" in fields:
                        requests[fields["n"]] = fields
                    elif (request := requests.pop(fields["n"], None)) and fields["status"] == ACCEPTED:
                        group.create_task(self._do(request["job"], request["execution_id"]))

    async def _do(self, job: str, execution_id: str) -> None:
        work = work_of(execution_id)
        if not work.end:
            return
        await asyncio.sleep(work.seconds)
        call = Call(
            kind=CallKind.COMPLETE, job=job, sent_us=now_us(), answered_us=None, outcome=Outcome.UNKNOWN,
            execution_id=execution_id, status=work.end,
        )  # fmt: skip
        place = len(self.calls)
        self.calls.append(call)
        while now_us() < call.sent_us + PATIENCE_US:
            outcome = await self._try(execution_id, work.end)
            if outcome is not Outcome.UNKNOWN:
                self.calls[place] = replace(call, outcome=outcome, answered_us=now_us())
                return
            await asyncio.sleep(AGAIN_S)

    async def _try(self, execution_id: str, end: str) -> Outcome:
        try:
            answer = await self._api.post(f"/api/v1/executions/{execution_id}/complete", json={"status": end})
        except httpx.HTTPError:
            return Outcome.UNKNOWN
        if answer.status_code >= 500 or answer.status_code in REPEATABLE:
            return Outcome.UNKNOWN
        return Outcome.ACKNOWLEDGED if answer.status_code < 300 else Outcome.REFUSED


@contextlib.asynccontextmanager
async def completing(api: httpx.AsyncClient, log: Path) -> AsyncIterator[Completer]:
    """A completer at work."""
    completer = Completer(api, log)
    task = asyncio.create_task(completer.run())
    try:
        yield completer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
