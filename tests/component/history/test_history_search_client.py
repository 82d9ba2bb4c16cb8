"""A scheduler that looks executions up in a real history."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.ledger_service_pb2 import ExecutionRecord

from libs.clock import SystemClock
from libs.etcd.membership import MemberWatch
from libs.faults import InvalidArgument, Unavailable, WrongState
from libs.rpc.channel import open_channel
from services.history.app import open_store
from services.history.settings import HistorySettings
from services.scheduler.adapters.ledger import HistoryLedger
from services.scheduler.ports.ledger import Ledger
from tests.component.history.messages import delivered, id_of, requests, told
from tests.component.history.serving import MESH_TOKEN, serving
from tests.fakes.scheduler import FakeLedger

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def records() -> list[ExecutionRecord]:
    skipped = told(2, Execution.SKIPPED, skipped_count=5)
    skipped.execution.skipped_until.CopyFrom(told(6).execution.scheduled_time)
    return [delivered(1), skipped, told(8), told(9, namespace="ops"), told(10, job_id="other")]


@asynccontextmanager
async def fake(directory: Path) -> AsyncIterator[Ledger]:
    ledger = FakeLedger()
    for each in records():
        ledger.executions.append(each.execution)
        ledger.definitions[each.execution.id] = each.definition
    yield ledger


@asynccontextmanager
async def real(directory: Path) -> AsyncIterator[Ledger]:
    settings = HistorySettings(data_dir=directory)
    async with open_store(settings, SystemClock()) as pair, serving(*pair, settings=settings) as served:
        async for _ in served.ledger.Record(requests(records())):
            pass
        ledger = HistoryLedger(members(served.address), lambda address: open_channel(address, mesh_token=MESH_TOKEN))
        yield ledger
        await ledger.close()


def members(*addresses: str) -> MemberWatch:
    """A view of the mesh in which history is at these addresses."""
    found = {address: SimpleNamespace(address=address) for address in addresses}
    return SimpleNamespace(members=found)  # type: ignore[return-value]


@pytest.fixture(params=[fake, real])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    async with request.param(tmp_path) as opened:
        yield opened


async def test_the_executions_of_a_job_are_found_newest_first(ledger: Ledger) -> None:
    found = await ledger.find("default", job_id="report")
    assert [each.id for each in found.executions] == [id_of(n) for n in (8, 2, 1)]
    assert list(found.definitions) == []
    assert [each.id for each in (await ledger.find("default", job_id="report", limit=1)).executions] == [id_of(8)]


async def test_executions_are_found_by_id_with_how_they_were_delivered(ledger: Ledger) -> None:
    found = await ledger.find("default", ids=[id_of(n) for n in (1, 9, 10)], with_definitions=True)
    assert [each.id for each in found.executions] == [id_of(10), id_of(1)]
    assert [each.job for each in found.definitions] == [b"", b"job"]


async def test_a_stretch_that_reaches_into_a_span_is_found_when_asked_for(ledger: Ledger) -> None:
    start, end = START + 3 * MINUTE, START + 8 * MINUTE
    assert list((await ledger.find("default", job_id="report", start=start, end=end)).executions) == []
    found = await ledger.find("default", job_id="report", start=start, end=end, with_stretches=True)
    assert [(each.id, each.skipped_count) for each in found.executions] == [(id_of(2), 5)]


async def test_a_whole_namespace_is_not_searched(ledger: Ledger) -> None:
    with pytest.raises(InvalidArgument):
        await ledger.find("default")


async def test_nothing_is_found_while_history_is_away() -> None:
    away = HistoryLedger(members(), open_channel)
    with pytest.raises(Unavailable):
        await away.find("default", job_id="report")


async def test_a_shard_with_more_than_fits_into_a_message_is_sealed(tmp_path: Path) -> None:
    settings = HistorySettings(data_dir=tmp_path)
    many = 25_000
    async with open_store(settings, SystemClock()) as pair, serving(*pair, settings=settings) as served:
        for start in range(0, many, 5_000):
            some = [told(n, Execution.RUNNING if n < 1_200 else Execution.SUCCESS) for n in range(start, start + 5_000)]
            async for _ in served.ledger.Record(requests(some)):
                pass
        client = HistoryLedger(members(served.address), lambda address: open_channel(address, mesh_token=MESH_TOKEN))
        sealed = await client.seal(3, 8, START - timedelta(days=1))
        assert (len(sealed.unfinished), len(sealed.recorded)) == (1_200, many)
        with pytest.raises(WrongState):
            await client.seal(3, 7, START)
        await client.close()
