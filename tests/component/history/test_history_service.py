"""History over gRPC, with each of its stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.execution_service_pb2 import (
    GetExecutionRequest,
    ListExecutionsRequest,
    WatchExecutionsRequest,
    WatchExecutionsResponse,
)
from chronos.history.v1.ledger_service_pb2 import (
    ExecutionRecord,
    FindExecutionsRequest,
    RecordRequest,
    RecordResponse,
    SealShardRequest,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc

from libs.clock import SystemClock
from libs.faults import Fault, Forbidden, InvalidArgument, NotFound, Unauthenticated, Unavailable, WrongState
from libs.rpc.channel import fault_from, open_channel
from services.history.app import open_store
from services.history.ports import Archive, Ledger
from services.history.settings import HistorySettings
from services.history.write_health import PAUSE
from tests.component.history.messages import delivered, id_of, requests, told
from tests.component.history.serving import Served, serving
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FakeLedger

PATIENCE_S = 10


@pytest.fixture(params=["fake", "sqlite"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    settings = HistorySettings(data_dir=tmp_path, watch_keep_alive=timedelta(milliseconds=50), max_response_bytes=100)
    async with open_pair(request.param, settings) as pair, serving(*pair, settings=settings) as running:
        yield running


@asynccontextmanager
async def open_pair(name: str, settings: HistorySettings) -> AsyncIterator[tuple[Ledger, Archive]]:
    if name == "fake":
        fake = FakeLedger()
        yield fake, fake
    else:
        async with open_store(settings, SystemClock()) as pair:
            yield pair


async def recorded(served: Served, *batches: list[ExecutionRecord]) -> list[RecordResponse]:
    return [response async for response in served.ledger.Record(requests(*batches), timeout=PATIENCE_S)]


async def fault_of(call: object) -> Fault:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return fault_from(caught.value)


async def test_what_is_recorded_can_be_looked_up(served: Served) -> None:
    answers = await recorded(served, [told(1, Execution.RUNNING)], [told(1), told(2, response="é" * 100)])
    assert [(answer.batch, list(answer.stale_execution_ids)) for answer in answers] == [(1, []), (2, [])]
    found = await served.executions.GetExecution(GetExecutionRequest(id=id_of(1)), metadata=served.metadata)
    expected = told(1).execution
    expected.duration.FromMilliseconds(20)
    assert found == expected
    long = await served.executions.GetExecution(
        GetExecutionRequest(job_id="report", id=id_of(2)), metadata=served.metadata
    )
    assert (long.response, long.is_response_truncated) == ("é" * 50, True)


async def test_an_acknowledgement_does_not_wait_for_the_next_batch(served: Served) -> None:
    call = served.ledger.Record(timeout=PATIENCE_S)
    for number in (1, 2, 3):
        await call.write(RecordRequest(batch=number, records=[told(number)]))
        answer = await call.read()
        assert isinstance(answer, RecordResponse)
        assert answer.batch == number
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_a_record_that_makes_no_sense_ends_the_stream_and_names_its_field(served: Served) -> None:
    fault = await fault_of(recorded(served, [told(1), told(2, id="seven")]))
    assert isinstance(fault, InvalidArgument)
    assert fault.violations[0].field == "records[1].execution.id"


async def test_a_shard_is_sealed_against_its_former_owner(served: Served) -> None:
    await recorded(served, [told(1, Execution.RUNNING), told(2), told(3)])
    request = SealShardRequest(shard=3, epoch=8, watermark=told(2).execution.scheduled_time)
    parts = [part async for part in served.ledger.SealShard(request)]
    assert [(found.id, len(found.attempts)) for part in parts for found in part.unfinished] == [(id_of(1), 1)]
    assert [identity for part in parts for identity in part.recorded_execution_ids] == [id_of(3)]
    answers = await recorded(served, [told(4, Execution.RUNNING), told(1)])
    assert [list(answer.stale_execution_ids) for answer in answers] == [[id_of(4)]]
    request.epoch = 7
    fault = await fault_of(served.ledger.SealShard(request).read())
    assert isinstance(fault, WrongState)
    assert fault.reason == "EPOCH_SEALED"


async def test_a_list_pages_and_filters(served: Served) -> None:
    await recorded(served, [told(n, Execution.FAILED if n % 2 else Execution.SUCCESS) for n in range(1, 8)])
    request = ListExecutionsRequest(job_id="report", page_size=2, status=[Execution.FAILED])
    pages: list[list[str]] = []
    while not pages or request.page_token:
        page = await served.executions.ListExecutions(request, metadata=served.metadata)
        pages.append([found.id for found in page.executions])
        assert not any(found.attempts for found in page.executions)
        request.page_token = page.next_page_token
    assert pages == [[id_of(7), id_of(5)], [id_of(3), id_of(1)]]


async def test_a_list_can_be_of_a_span_of_time(served: Served) -> None:
    await recorded(served, [told(n, Execution.CANCELLED if n % 2 else Execution.LOST) for n in range(1, 10)])
    request = ListExecutionsRequest(to=told(7).execution.scheduled_time, status=[Execution.CANCELLED], page_size=1)
    getattr(request, "from").CopyFrom(told(3).execution.scheduled_time)
    pages: list[list[str]] = []
    while not pages or request.page_token:
        page = await served.executions.ListExecutions(request, metadata=served.metadata)
        pages.append([found.id for found in page.executions])
        request.page_token = page.next_page_token
    assert pages == [[id_of(5)], [id_of(3)]]
    request.to.CopyFrom(getattr(request, "from"))
    fault = await fault_of(served.executions.ListExecutions(request, metadata=served.metadata))
    assert isinstance(fault, InvalidArgument)
    assert [violation.field for violation in fault.violations] == ["to"]


async def test_an_execution_shows_the_request_that_was_first_sent(served: Served) -> None:
    await recorded(served, [delivered(1), told(2)])
    found = await served.executions.GetExecution(GetExecutionRequest(id=id_of(1)), metadata=served.metadata)
    assert (found.request.method, found.request.url) == ("POST", "https://example.com")
    assert found.request.body == f'{{"run": "{id_of(1)}"}}'
    assert found.request.headers["Authorization"] == "********"
    assert found.request.headers["Idempotency-Key"] == id_of(1)
    plain = await served.executions.GetExecution(GetExecutionRequest(id=id_of(2)), metadata=served.metadata)
    assert not plain.HasField("request")
    page = await served.executions.ListExecutions(ListExecutionsRequest(), metadata=served.metadata)
    assert not any(each.HasField("request") for each in page.executions)


async def test_of_two_claims_one_is_refused(served: Served) -> None:
    first, second = told(1, Execution.RUNNING), told(1, Execution.RUNNING)
    for record, claimant in ((first, "a"), (second, "b")):
        record.is_claim, record.claimant = True, claimant
    answers = await recorded(served, [first, told(2)], [second, told(3)], [first])
    assert [list(answer.claimed_execution_ids) for answer in answers] == [[], [id_of(1)], []]


async def test_executions_are_found_with_how_they_were_delivered(served: Served) -> None:
    skipped = told(2, Execution.SKIPPED, skipped_count=5, reason_code=Execution.CALENDAR)
    skipped.execution.skipped_until.CopyFrom(told(6).execution.scheduled_time)
    await recorded(served, [delivered(1), skipped, told(8), told(9)])
    request = FindExecutionsRequest(job_id="report", to=told(9).execution.scheduled_time, with_definitions=True)
    found = await served.ledger.FindExecutions(request)
    assert [each.id for each in found.executions] == [id_of(n) for n in (8, 2, 1)]
    assert [each.job for each in found.definitions] == [b"", b"", b"job"]
    assert found.definitions[2] == delivered(1).definition
    assert [len(each.attempts) for each in found.executions] == [1, 1, 1]
    getattr(request, "from").CopyFrom(told(4).execution.scheduled_time)
    assert [each.id for each in (await served.ledger.FindExecutions(request)).executions] == [id_of(8)]
    request.with_stretches, request.with_definitions = True, False
    found = await served.ledger.FindExecutions(request)
    assert [(each.id, each.skipped_count) for each in found.executions] == [(id_of(8), 0), (id_of(2), 5)]
    assert list(found.definitions) == []


async def test_a_search_needs_a_job_or_ids_and_the_mesh(served: Served) -> None:
    fault = await fault_of(served.ledger.FindExecutions(FindExecutionsRequest()))
    assert isinstance(fault, InvalidArgument)
    async with open_channel(served.address) as channel:
        outsider = type(served.ledger)(channel)
        assert isinstance(await fault_of(outsider.FindExecutions(FindExecutionsRequest(job_id="report"))), Forbidden)


async def test_a_namespace_sees_its_own_executions_only(served: Served) -> None:
    await recorded(served, [told(1), told(2, namespace="ops")])
    page = await served.executions.ListExecutions(ListExecutionsRequest(namespace="ops"), metadata=served.metadata)
    assert [found.id for found in page.executions] == [id_of(2)]
    fault = await fault_of(
        served.executions.GetExecution(GetExecutionRequest(namespace="ops", id=id_of(1)), metadata=served.metadata)
    )
    assert isinstance(fault, NotFound)


async def test_a_namespace_that_a_key_has_no_access_to_is_forbidden(served: Served) -> None:
    call = served.executions.ListExecutions(ListExecutionsRequest(namespace="finance"), metadata=served.metadata)
    assert isinstance(await fault_of(call), Forbidden)


async def test_executions_need_a_key_and_the_ledger_needs_the_mesh(served: Served) -> None:
    assert isinstance(await fault_of(served.executions.ListExecutions(ListExecutionsRequest())), Unauthenticated)
    async with open_channel(served.address) as channel:
        outsider = type(served.ledger)(channel)
        assert isinstance(await fault_of(outsider.SealShard(SealShardRequest(shard=1, epoch=1)).read()), Forbidden)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (GetExecutionRequest(id="seven"), "id"),
        (GetExecutionRequest(), "id"),
    ],
)
async def test_a_malformed_request_is_told_its_field(served: Served, request_: GetExecutionRequest, field: str) -> None:
    fault = await fault_of(served.executions.GetExecution(request_, metadata=served.metadata))
    assert isinstance(fault, InvalidArgument)
    assert [violation.field for violation in fault.violations] == [field]


async def test_a_watch_tells_what_changes_and_resumes_without_a_gap(served: Served) -> None:
    token = ""
    seen: list[tuple[str, Execution.Status.ValueType]] = []
    for first in (1, 3, 5):
        call = served.executions.WatchExecutions(
            WatchExecutionsRequest(resume_token=token), metadata=served.metadata, timeout=PATIENCE_S
        )
        await call.read()
        if first == 1:
            await recorded(served, [told(1, Execution.RUNNING)])
        seen.append(shown(message := await execution_of(call)))
        token = message.resume_token
        call.cancel()
        await recorded(served, [told(first)], [told(first + 1), told(first + 2, namespace="ops")])
    assert seen == [(id_of(1), Execution.RUNNING), (id_of(1), Execution.SUCCESS), (id_of(2), Execution.SUCCESS)]


async def test_a_quiet_watch_moves_its_token_on(served: Served) -> None:
    call = served.executions.WatchExecutions(
        WatchExecutionsRequest(job_id="nothing"), metadata=served.metadata, timeout=PATIENCE_S
    )
    first = await message_of(call)
    await recorded(served, [told(1)])
    later = await message_of(call)
    while later.resume_token == first.resume_token:
        later = await message_of(call)
    assert not later.HasField("execution")
    call.cancel()


async def test_many_watchers_each_see_everything(served: Served) -> None:
    calls = [
        served.executions.WatchExecutions(WatchExecutionsRequest(), metadata=served.metadata, timeout=PATIENCE_S)
        for _ in range(5)
    ]
    for call in calls:
        await call.read()
    await recorded(served, *[[told(number)] for number in range(1, 51)])
    for call in calls:
        assert [(await execution_of(call)).execution.id for _ in range(50)] == [id_of(n) for n in range(1, 51)]
        call.cancel()


async def test_a_bad_resume_token_is_refused(served: Served) -> None:
    call = served.executions.WatchExecutions(
        WatchExecutionsRequest(resume_token="?"), metadata=served.metadata, timeout=PATIENCE_S
    )
    fault = await fault_of(call.read())
    assert isinstance(fault, InvalidArgument)
    assert fault.violations[0].field == "resume_token"


async def test_a_full_disk_ends_the_stream_and_history_is_not_serving_until_there_is_room() -> None:
    ledger, clock = FakeLedger(), FakeClock()
    async with serving(ledger, ledger, clock=clock) as served, open_channel(served.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        ledger.fault = Unavailable("The disk is full; make room.", reason="LEDGER_FULL")
        fault = await fault_of(recorded(served, [told(1)]))
        assert isinstance(fault, Unavailable)
        assert fault.reason == "LEDGER_FULL"
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                break
        assert not served.server.is_serving
        ledger.fault = None
        await clock.advance(PAUSE)
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        watch.cancel()
        assert [answer.batch for answer in await recorded(served, [told(1)])] == [1]


async def test_a_drain_ends_streams_so_that_senders_go_elsewhere(served: Served) -> None:
    call = served.ledger.Record(timeout=PATIENCE_S)
    await call.write(RecordRequest(batch=1, records=[told(1)]))
    await call.read()
    async with asyncio.TaskGroup() as group:
        group.create_task(served.server.drain(timedelta(seconds=1)))
        assert isinstance(await fault_of(call.read()), Unavailable)


async def message_of(call: object) -> WatchExecutionsResponse:
    message = await call.read()  # type: ignore[attr-defined]
    assert isinstance(message, WatchExecutionsResponse)
    return message


async def execution_of(call: object) -> WatchExecutionsResponse:
    """The next message with an execution."""
    while not (message := await message_of(call)).HasField("execution"):
        pass
    return message


def shown(message: WatchExecutionsResponse) -> tuple[str, "Execution.Status.ValueType"]:
    return message.execution.id, message.execution.status
