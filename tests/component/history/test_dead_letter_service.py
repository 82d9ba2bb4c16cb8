"""Dead letters over a real server: listed, looked at, deleted, and found by the scheduler that repeats them."""

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from chronos.history.v1 import dead_letter_service_pb2 as pb
from chronos.history.v1.dead_letter_pb2 import DeadLetter
from chronos.history.v1.dead_letter_service_pb2_grpc import DeadLetterServiceStub
from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.ledger_service_pb2 import ExecutionRecord

from libs.clock import SystemClock
from libs.faults import Fault, Forbidden, InvalidArgument, NotFound
from libs.rpc.channel import fault_from, open_channel
from services.history.app import open_store
from services.history.domain.moments import LAST_US
from services.history.settings import HistorySettings
from services.scheduler.adapters.dead_letters import HistoryDeadLetters
from services.scheduler.adapters.ledger import HistoryLedger
from tests.component.history.messages import START_US, delivered, id_of, requests, told
from tests.component.history.serving import MESH_TOKEN, Served, serving
from tests.component.history.test_history_search_client import members

if TYPE_CHECKING:
    from chronos.history.v1.dead_letter_service_pb2_grpc import DeadLetterServiceAsyncStub

ALL = ("dead-letter:read", "dead-letter:delete")
PATIENCE_S = 10


class Letters:
    """Callers of a history that has some dead letters."""

    def __init__(self, served: Served, stub: "DeadLetterServiceAsyncStub") -> None:
        self.served = served
        self.stub = stub

    async def record(self, *records: ExecutionRecord) -> None:
        async for _ in self.served.ledger.Record(requests(records), timeout=PATIENCE_S):
            pass

    async def listed(self, **choice: object) -> pb.ListDeadLettersResponse:
        request = pb.ListDeadLettersRequest(**choice)  # type: ignore[arg-type]
        return await self.stub.ListDeadLetters(request, metadata=self.served.metadata, timeout=PATIENCE_S)

    async def ids(self, **choice: object) -> list[str]:
        return [letter.id for letter in (await self.listed(**choice)).dead_letters]

    async def get(self, number: int) -> DeadLetter:
        request = pb.GetDeadLetterRequest(id=id_of(number))
        return await self.stub.GetDeadLetter(request, metadata=self.served.metadata, timeout=PATIENCE_S)

    async def delete(self, number: int) -> pb.DeleteDeadLetterResponse:
        request = pb.DeleteDeadLetterRequest(id=id_of(number))
        return await self.stub.DeleteDeadLetter(request, metadata=self.served.metadata, timeout=PATIENCE_S)

    async def purge(self, **choice: object) -> int:
        request = pb.PurgeDeadLettersRequest(**choice)  # type: ignore[arg-type]
        answer = await self.stub.PurgeDeadLetters(request, metadata=self.served.metadata, timeout=PATIENCE_S)
        return answer.count


@pytest.fixture(params=[ALL])
async def letters(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Letters]:
    settings = HistorySettings(data_dir=tmp_path)
    async with (
        open_store(settings, SystemClock()) as pair,
        serving(*pair, settings=settings, permissions=request.param) as served,
        open_channel(served.address) as channel,
    ):
        letters = Letters(served, DeadLetterServiceStub(channel))
        refused = delivered(3, status=Execution.FAILED, error="refused", status_code=503)
        await letters.record(
            told(1, Execution.FAILED),
            told(2),
            refused,
            told(4, Execution.LOST, reason_code=Execution.INTERRUPTED),
            told(5, Execution.TIMED_OUT, job_id="other"),
            told(6, Execution.FAILED, namespace="ops"),
        )
        yield letters


async def fault_of(call: Awaitable[object]) -> Fault:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return fault_from(caught.value)


async def test_dead_letters_are_listed_last_death_first(letters: Letters) -> None:
    page = await letters.listed()
    assert [letter.id for letter in page.dead_letters] == [id_of(n) for n in (5, 4, 3, 1)]
    assert (page.dead_letters[2].execution.error, page.next_page_token) == ("refused", "")
    assert [len(letter.execution.attempts) for letter in page.dead_letters] == [0] * 4
    assert await letters.ids(namespace="ops") == [id_of(6)]


async def test_dead_letters_can_be_chosen(letters: Letters) -> None:
    assert await letters.ids(job_id="other") == [id_of(5)]
    assert await letters.ids(status=[Execution.FAILED, Execution.TIMED_OUT]) == [id_of(5), id_of(3), id_of(1)]
    assert await letters.ids(reason=[Execution.INTERRUPTED]) == [id_of(4)]
    died = {letter.id: letter.execution.completed_at for letter in (await letters.listed()).dead_letters}
    assert await letters.ids(**{"from": died[id_of(3)], "to": died[id_of(5)]}) == [id_of(4), id_of(3)]


async def test_pages_follow_each_other_and_know_their_list(letters: Letters) -> None:
    first = await letters.listed(page_size=3)
    assert len(first.dead_letters) == 3
    assert await letters.ids(page_size=3, page_token=first.next_page_token) == [id_of(1)]
    for choice in ({"job_id": "other"}, {"status": [Execution.LOST]}, {"include_replayed": True}):
        fault = await fault_of(letters.listed(page_token=first.next_page_token, **choice))
        assert isinstance(fault, InvalidArgument), choice


@pytest.mark.parametrize("choice", [{"status": [Execution.SUCCESS]}, {"reason": [0]}, {"page_token": "?"}])
async def test_a_choice_that_makes_no_sense_is_refused(letters: Letters, choice: dict[str, object]) -> None:
    assert isinstance(await fault_of(letters.listed(**choice)), InvalidArgument)


async def test_bounds_that_exclude_everything_are_refused(letters: Letters) -> None:
    moment = (await letters.get(3)).execution.completed_at
    for call in (letters.listed(**{"from": moment, "to": moment}), letters.purge(**{"from": moment, "to": moment})):
        assert isinstance(await fault_of(call), InvalidArgument)


async def test_a_dead_letter_shows_its_attempts_and_its_request(letters: Letters) -> None:
    letter = await letters.get(3)
    assert (letter.id, letter.execution.id, letter.replayed_by) == (id_of(3), id_of(3), "")
    assert [attempt.number for attempt in letter.execution.attempts] == [1]
    assert letter.execution.request.body == f'{{"run": "{id_of(3)}"}}'
    assert letter.execution.request.headers["Authorization"] == "********"
    for number in (2, 9):
        assert isinstance(await fault_of(letters.get(number)), NotFound)


async def test_a_dead_letter_is_deleted_once_and_its_execution_stays(letters: Letters) -> None:
    assert (await letters.delete(3)).id == id_of(3)
    assert isinstance(await fault_of(letters.delete(3)), NotFound)
    assert isinstance(await fault_of(letters.get(3)), NotFound)
    assert await letters.served.history.retention.expire() >= 0
    assert id_of(3) not in await letters.ids(include_replayed=True)


async def test_a_purge_says_how_many_would_go_before_they_go(letters: Letters) -> None:
    assert await letters.purge(job_id="report", validate_only=True) == 3
    assert len(await letters.ids()) == 4
    assert await letters.purge(job_id="report") == 3
    assert await letters.ids() == [id_of(5)]
    assert [await letters.purge() for _ in range(2)] == [1, 0]
    assert await letters.ids(namespace="ops") == [id_of(6)]


async def test_a_replay_that_succeeded_takes_the_letter_off_the_list(letters: Letters) -> None:
    await letters.record(told(8, replay_of=id_of(3), cause=Execution.REPLAY))
    assert await letters.ids() == [id_of(n) for n in (5, 4, 1)]
    assert id_of(3) in await letters.ids(include_replayed=True)
    assert (await letters.get(3)).replayed_by == id_of(8)
    assert await letters.purge() == 3
    assert await letters.ids(include_replayed=True) == [id_of(3)]


@pytest.mark.parametrize("letters", [("dead-letter:read",)], indirect=True)
async def test_who_may_read_may_not_delete(letters: Letters) -> None:
    assert len(await letters.ids()) == 4
    for call in (letters.delete(1), letters.purge()):
        assert isinstance(await fault_of(call), Forbidden)


async def test_a_key_from_outside_does_not_open_the_inner_side(letters: Letters) -> None:
    call = letters.stub.FindDeadLetters(pb.FindDeadLettersRequest(), metadata=letters.served.metadata, timeout=5)
    assert isinstance(await fault_of(call), Forbidden)


async def test_a_scheduler_finds_dead_letters_and_how_they_were_sent_after_their_executions_have_gone(
    letters: Letters, tmp_path: Path
) -> None:
    def channel(address: str) -> grpc.aio.Channel:
        return open_channel(address, mesh_token=MESH_TOKEN)

    finder = HistoryDeadLetters(members(letters.served.address), channel)
    ledger = HistoryLedger(members(letters.served.address), channel)
    async with open_store(HistorySettings(data_dir=tmp_path), SystemClock()) as (store, _):
        assert await store.expire(LAST_US, 10) == 6
        assert await store.sweep(LAST_US, 10) == 0
    found = await finder.find(pb.ListDeadLettersRequest(page_size=2))
    assert [letter.id for letter in found.dead_letters] == [id_of(5), id_of(4)]
    found = await finder.find(pb.ListDeadLettersRequest(page_size=2, page_token=found.next_page_token))
    assert [letter.id for letter in found.dead_letters] == [id_of(3), id_of(1)]
    assert [each.id for each in (await finder.find(pb.ListDeadLettersRequest(), [id_of(3)])).dead_letters] == [id_of(3)]
    searched = await ledger.find("default", ids=[id_of(2), id_of(3)], limit=2, with_definitions=True)
    assert [each.id for each in searched.executions] == [id_of(3)]
    assert searched.executions[0].scheduled_time.ToMicroseconds() == START_US + 3 * 60_000_000
    assert searched.definitions[0].job == b"job"
    await finder.close()
    await ledger.close()
