from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import httpx
import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "receiver.py"


@pytest.fixture(scope="module")
def receiver() -> ModuleType:
    """The example, loaded from its file as it is no package."""
    spec = spec_from_file_location("example_receiver", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def client(receiver: ModuleType, fail_rate: float = 0.0) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(receiver.build(fail_rate)), base_url="http://receiver")


async def test_a_call_is_kept_with_its_lateness(receiver: ModuleType) -> None:
    async with client(receiver) as http:
        headers = {"X-Chronos-Job-ID": "j", "X-Chronos-Scheduled-Time": datetime.now(UTC).isoformat()}
        assert (await http.post("/any/path", headers=headers, content=b"x" * 2000)).status_code == 200
        [call] = (await http.get("/calls")).json()["calls"]
    assert (call["job_id"], call["path"], call["attempt"], len(call["body"])) == ("j", "/any/path", 1, 512)
    assert 0 <= call["late_seconds"] < 5


async def test_calls_are_given_from_where_the_reader_was(receiver: ModuleType) -> None:
    async with client(receiver) as http:
        for _ in range(3):
            await http.get("/x")
        calls = (await http.get("/calls", params={"after": 2})).json()["calls"]
        assert [call["number"] for call in calls] == [3]
        assert (await http.get("/stats")).json() == {"received": 3, "refused": 0}


async def test_the_first_attempts_fail_where_the_path_says_so(receiver: ModuleType) -> None:
    async with client(receiver) as http:
        codes = [
            (await http.post("/fail-first/2/x", headers={"X-Chronos-Attempt": str(attempt)})).status_code
            for attempt in (1, 2, 3)
        ]
    assert codes == [503, 503, 200]


async def test_a_share_of_the_calls_fails_on_request(receiver: ModuleType) -> None:
    async with client(receiver, fail_rate=1.0) as http:
        assert (await http.get("/x")).status_code == 503


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-01T00:00:00", ""])
async def test_headers_that_mean_nothing_do_no_harm(receiver: ModuleType, moment: str) -> None:
    async with client(receiver) as http:
        headers = {"X-Chronos-Attempt": "many", "X-Chronos-Scheduled-Time": moment}
        assert (await http.get("/x", headers=headers)).status_code == 200
        [call] = (await http.get("/calls")).json()["calls"]
    assert (call["attempt"], call["late_seconds"]) == (1, None)


async def test_memory_stays_bounded(receiver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "MOST_KEPT", 2)
    async with client(receiver) as http:
        for _ in range(5):
            await http.get("/x")
        calls = (await http.get("/calls")).json()["calls"]
    assert [call["number"] for call in calls] == [4, 5]
