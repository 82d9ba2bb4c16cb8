"""Jobs are made and watched for a while, and all evidence is gathered."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import httpx

from cli.chronos.demo.api import Edge, fetch_calls
from cli.chronos.demo.evidence import Evidence, Summary, Window, is_complete, summarize
from cli.chronos.demo.jobs import JOBS, DemoJob
from cli.chronos.demo.view import View
from libs.clock import Clock

POLL = timedelta(milliseconds=500)
STRAGGLERS = timedelta(seconds=10)
SETTLING = timedelta(seconds=1)
"""What is due so shortly before its job is disabled may rightly run or not."""


class Show:
    """One showing: `evidence` grows while it runs."""

    def __init__(self, edge: Edge, receiver: httpx.AsyncClient, view: View, clock: Clock) -> None:
        self.evidence = Evidence()
        self._edge = edge
        self._receiver = receiver
        self._view = view
        self._clock = clock

    async def run(self, length: timedelta) -> Summary:
        """Makes the jobs, lets them run for `length`, disables them, waits for stragglers, and sums up."""
        async with asyncio.TaskGroup() as group:
            watchers = [group.create_task(self._watch()), group.create_task(self._collect())]
            created = [(job, await self._create(job)) for job in JOBS]
            await self._run_by_hand(length)
            windows = [await self._end(job, start) for job, start in created]
            await self._wait_for_stragglers(windows)
            for watcher in watchers:
                watcher.cancel()
        return summarize(windows, self.evidence)

    async def _wait_for_stragglers(self, windows: Sequence[Window]) -> None:
        deadline = self._clock.monotonic() + STRAGGLERS.total_seconds()
        while True:
            await self._clock.sleep(POLL)
            self.evidence.executions = {item["id"]: item for item in await self._edge.executions()}
            if is_complete(windows, self.evidence) or self._clock.monotonic() > deadline:
                return

    async def _create(self, job: DemoJob) -> datetime:
        stored = await self._edge.create(job.resource(str(self._receiver.base_url).rstrip("/")))
        return datetime.fromisoformat(stored["created_at"])

    async def _run_by_hand(self, length: timedelta) -> None:
        by_hand = next(job for job in JOBS if job.is_by_hand)
        for _ in range(3):
            await self._clock.sleep(length / 4)
            self.evidence.by_hand.append((await self._edge.trigger(by_hand.id))["id"])
        await self._clock.sleep(length / 4)

    async def _end(self, job: DemoJob, start: datetime) -> Window:
        before = self._clock.now()
        await self._edge.disable(job.id)
        return Window(job=job, start=start, end=before - SETTLING)

    async def _watch(self) -> None:
        async for execution in self._edge.watch():
            self._view.show(execution)

    async def _collect(self) -> None:
        while True:
            with contextlib.suppress(httpx.TransportError):
                self.evidence.calls.extend(await fetch_calls(self._receiver, self.evidence.last_call))
            await self._clock.sleep(POLL)
