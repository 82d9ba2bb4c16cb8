"""The demo as a client: the edge's REST API, and what the receiver saw."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx

from cli.chronos.errors import MeshError
from libs.clock import Clock

WATCH = "/api/v1/executions/watch"
WATCH_TIMEOUT = httpx.Timeout(10.0, read=30.0)  # a message comes at least every 15 s
PAUSE = timedelta(milliseconds=200)
Json = dict[str, Any]


class Edge:
    """The REST API of the mesh."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def create(self, job: Json) -> Json:
        """Creates a job and returns it as stored."""
        return await self._call("POST", "/api/v1/jobs", job)

    async def trigger(self, job_id: str) -> Json:
        """Runs a job now and returns its execution."""
        return await self._call("POST", f"/api/v1/jobs/{job_id}/trigger", {})

    async def disable(self, job_id: str) -> Json:
        """Keeps a job from firing and returns it."""
        return await self._call("POST", f"/api/v1/jobs/{job_id}/disable", {})

    async def executions(self) -> list[Json]:
        """Every execution that history holds."""
        found: list[Json] = []
        token = ""
        while True:
            query = {"page_size": "1000", "page_token": token} if token else {"page_size": "1000"}
            page = await self._call("GET", "/api/v1/executions", None, query)
            found.extend(page.get("executions", []))
            token = page.get("next_page_token", "")
            if not token:
                return found

    async def watch(self) -> AsyncIterator[Json]:
        """Executions as they change, for ever; goes on where it was after a disconnect."""
        token = ""
        while True:
            try:
                query = {"resume_token": token} if token else {}
                async with self._client.stream("GET", WATCH, params=query, timeout=WATCH_TIMEOUT) as answer:
                    answer.raise_for_status()
                    async for line in answer.aiter_lines():
                        if line.strip():
                            message = json.loads(line)
                            token = message.get("resume_token", token)
                            if execution := message.get("execution"):
                                yield execution
            except httpx.HTTPError:
                pass
            await self._clock.sleep(PAUSE)

    async def _call(self, method: str, path: str, body: Json | None, query: dict[str, str] | None = None) -> Json:
        try:
            answer = await self._client.request(method, path, json=body, params=query)
        except httpx.TransportError as error:
            raise MeshError(f"{method} {path}: {error or type(error).__name__}; see `chronos logs envoy`") from error
        if answer.is_error:
            raise MeshError(f"{method} {path} answered {answer.status_code}: {answer.text.strip()}")
        found: Json = answer.json()
        return found


async def fetch_calls(receiver: httpx.AsyncClient, after: int) -> list[Json]:
    """What the receiver was sent since its call number `after`."""
    answer = await receiver.get("/calls", params={"after": after})
    calls: list[Json] = answer.raise_for_status().json()["calls"]
    return calls
