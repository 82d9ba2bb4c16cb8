"""The receivers of the benchmark: what they note is the evidence, so it must be right."""

import shutil
import time
from pathlib import Path

import httpx
import pytest

from bench.receiver import open_receiver
from tests.eventually import eventually

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
HEADERS = {
    "X-Chronos-Execution-ID": "018bcfe5-6800-845c-acb2-5c033444737c",
    "X-Chronos-Scheduled-Time": "2026-01-01T00:00:00.250Z",
    "X-Chronos-Attempt": "1",
}
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")


@pytest.mark.parametrize("kind", ["builtin", pytest.param("nginx", marks=needs_nginx)])
async def test_every_call_is_noted_with_its_times(kind: str, tmp_path: Path) -> None:
    before = time.time()
    async with open_receiver(tmp_path, kind) as receiver, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(3):
            assert (await client.post(receiver.url, headers=HEADERS, content=b"x" * 3000)).status_code == 200
        assert receiver.pids()
        await eventually(lambda: len(receiver.arrivals()) == 3)
        arrivals = receiver.arrivals()
    assert {arrival.execution_id for arrival in arrivals} == {HEADERS["X-Chronos-Execution-ID"]}
    assert {arrival.scheduled for arrival in arrivals} == {1767225600.25}
    assert all(before - 0.01 <= arrival.at <= time.time() + 0.01 for arrival in arrivals)
