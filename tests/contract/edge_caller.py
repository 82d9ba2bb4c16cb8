"""Callers of an edge, and what they look at."""

import ssl
from dataclasses import dataclass
from typing import Any

import httpx
import trustme

from tests.contract.edge import Backends


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A running edge and what stands behind it. `http` shows the key that may do everything."""

    address: str
    backends: Backends
    http: httpx.AsyncClient
    authority: trustme.CA | None = None

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.http.get(path, **more)

    def caller(self, key: str = "") -> httpx.AsyncClient:
        """A client of its own, with that key or none."""
        return caller(self.address, key, self.authority)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-api-key", self.backends.key),)


def caller(address: str, key: str, authority: trustme.CA | None = None) -> httpx.AsyncClient:
    trusted = ssl.create_default_context()
    if authority:
        authority.configure_trust(trusted)
    return httpx.AsyncClient(
        base_url=f"{'https' if authority else 'http'}://{address}",
        headers={"x-api-key": key} if key else {},
        timeout=10,
        trust_env=False,
        verify=trusted,
    )


def error(answer: httpx.Response, status: int, code: int) -> dict[str, Any]:
    """The error in an answer, which has the one shape that every error has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"code", "message", "details"}
    assert body["code"] == code
    assert body["message"]
    return body


def detail(body: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in body["details"] if one["@type"] == f"type.googleapis.com/google.rpc.{kind}"
    )
    return found


async def statuses(http: httpx.AsyncClient, *calls: tuple[str, str]) -> list[int]:
    return [(await http.request(verb, path)).status_code for verb, path in calls]


GET, OTHER_GET = ("GET", "/api/v1/jobs/a"), ("GET", "/api/v1/executions")
