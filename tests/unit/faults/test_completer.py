"""What the receiver has accepted is told, and told again until it is answered."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from tests.faults import completer as completers
from tests.faults.completer import Work, completing
from tests.faults.history import Outcome

RUN = "01a1fc90-6a1f-892e-9ad0-17a3a07bd3a3"


def write(log: Path, *events: dict[str, object]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(completers, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(completers, "AGAIN_S", 0.001)
    monkeypatch.setattr(completers, "work_of", lambda execution_id: Work(seconds=0.0, end="FAILED"))
    (tmp_path / "arrivals.jsonl").touch()
    return tmp_path / "arrivals.jsonl"


async def told(log: Path, *answers: int, status: int = 202) -> list[Outcome]:
    """What comes of one request that the receiver answers so, when the API answers so."""
    left, asked = list(answers), list[tuple[str, object]]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, json.loads(request.content)))
        return httpx.Response(left.pop(0) if left else 503)

    api = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://api")
    async with api, completing(api, log) as completer:
        write(log, {"n": 1, "execution_id": RUN, "job": "default/a"}, {"n": 1, "status": status})
        async with asyncio.timeout(5):
            while left:  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
    assert all(each == (f"/api/v1/executions/{RUN}/complete", {"status": "FAILED"}) for each in asked)
    return [call.outcome for call in completer.calls]


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [((200,), Outcome.ACKNOWLEDGED), ((503, 404, 200), Outcome.ACKNOWLEDGED), ((429, 400), Outcome.REFUSED)],
)
async def test_the_end_is_told_until_it_is_answered(log: Path, answers: tuple[int, ...], outcome: Outcome) -> None:
    assert await told(log, *answers) == [outcome]


async def test_what_was_not_answered_may_have_been_heard(log: Path) -> None:
    assert await told(log, 503) == [Outcome.UNKNOWN]


async def test_only_what_was_accepted_is_told(log: Path) -> None:
    assert await told(log, status=200) == []
