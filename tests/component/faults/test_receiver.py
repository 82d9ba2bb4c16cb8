"""The customer's endpoint of the fault suite, as a process of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.eventually import eventually
from tests.faults.evidence import arrivals_of
from tests.faults.history import Arrival
from tests.faults.receiver import Mood
from tests.faults.sidecar import Sidecar

HEADERS = {
    "X-Chronos-Job-ID": "nightly",
    "X-Chronos-Execution-ID": "e1",
    "X-Chronos-Scheduled-Time": "2026-11-21T12:00:00.250Z",
    "X-Chronos-Attempt": "2",
}
DUE_US = 1_795_262_400_250_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running receiver, and its log."""

    sidecar: Sidecar
    url: str
    log: Path

    async def call(self, path: str, timeout_s: float = 10) -> int:
        async with httpx.AsyncClient(trust_env=False, timeout=timeout_s) as client:
            return (await client.post(self.url + path, content=b"{}", headers=HEADERS)).status_code

    async def last(self) -> Arrival:
        def ended() -> bool:
            found = arrivals_of(self.log)
            return bool(found) and found[-1].ended_us is not None

        await eventually(ended)
        return arrivals_of(self.log)[-1]


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    log = tmp_path / "arrivals.jsonl"
    async with Sidecar("tests.faults.receiver", str(log), log=tmp_path / "log") as sidecar:
        address = (await sidecar.order({"address": True}))["address"]
        yield Endpoint(sidecar, f"http://{address}", log)


async def test_what_arrived_and_how_it_ended_is_written_down(endpoint: Endpoint) -> None:
    assert await endpoint.call("/ok") == 200
    arrival = await endpoint.last()
    assert (arrival.job, arrival.execution_id, arrival.attempt) == ("default/nightly", "e1", 2)
    assert (arrival.scheduled_us, arrival.status, arrival.is_early_close) == (DUE_US, 200, False)


async def test_an_endpoint_that_refuses_answers_429(endpoint: Endpoint) -> None:
    assert await endpoint.call("/refuse") == 429
    assert (await endpoint.last()).status == 429


async def test_a_caller_that_goes_away_is_seen(endpoint: Endpoint) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await endpoint.call("/slow/60000", timeout_s=0.1)
    arrival = await endpoint.last()
    assert (arrival.status, arrival.is_early_close) == (0, True)


@pytest.mark.parametrize(("mood", "error"), [(Mood.BREAK, httpx.RemoteProtocolError), (Mood.HANG, httpx.ReadTimeout)])
async def test_a_mood_holds_for_every_path(endpoint: Endpoint, mood: Mood, error: type[Exception]) -> None:
    await endpoint.sidecar.order({"mood": mood})
    with pytest.raises(error):
        await endpoint.call("/ok", timeout_s=0.3)
    await endpoint.sidecar.order({"mood": Mood.FAIL})
    assert await endpoint.call("/ok") == 503
    await endpoint.sidecar.order({"mood": Mood.WELL})
    assert await endpoint.call("/ok") == 200


async def test_which_attempts_fail_follows_from_execution_and_attempt(endpoint: Endpoint) -> None:
    first = [await endpoint.call("/fail/50") for _ in range(3)]
    assert len(set(first)) == 1
