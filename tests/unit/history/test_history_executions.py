"""Looking executions up."""

import uuid

import pytest

from libs.faults import InvalidArgument, NotFound
from libs.paging import encode_token
from services.history.domain.records import Status
from services.history.executions import MOST_CHARACTERS, Executions
from tests.fakes.history_records import execution_id, record
from tests.fakes.ledger import FakeLedger


async def executions(*numbers: int, **changes: object) -> Executions:
    ledger = FakeLedger()
    await ledger.take([record(number, **changes) for number in numbers])  # type: ignore[arg-type]
    return Executions(ledger)


async def test_an_execution_is_found_by_any_spelling_of_its_id() -> None:
    found = await executions(10)
    for spelling in (str(uuid.UUID(int=10)), str(uuid.UUID(int=10)).upper()):
        assert (await found.get("default", "", spelling)).id == execution_id(10)
    assert (await found.get("default", "report", str(uuid.UUID(int=10)))).attempts == b"one"


@pytest.mark.parametrize(("namespace", "job_id"), [("ops", ""), ("default", "other"), ("ops", "report")])
async def test_an_execution_of_another_job_or_namespace_is_not_found(namespace: str, job_id: str) -> None:
    found = await executions(1)
    with pytest.raises(NotFound) as caught:
        await found.get(namespace, job_id, str(uuid.UUID(int=1)))
    assert namespace in caught.value.message


async def test_pages_follow_each_other() -> None:
    found = await executions(*range(1, 8))
    first = await found.list("default", "report", [], 3, "")
    second = await found.list("default", "report", [], 3, first.next_page_token)
    third = await found.list("default", "report", [], 3, second.next_page_token)
    pages = [[r.id for r in page.records] for page in (first, second, third)]
    assert pages == [[execution_id(n) for n in part] for part in ((7, 6, 5), (4, 3, 2), (1,))]
    assert third.next_page_token == ""


async def test_a_token_belongs_to_its_list() -> None:
    found = await executions(1, 2)
    token = (await found.list("default", "report", [], 1, "")).next_page_token
    for scope in (("ops", "report", []), ("default", "", []), ("default", "report", [Status.FAILED])):
        with pytest.raises(InvalidArgument):
            await found.list(*scope, 1, token)


@pytest.mark.parametrize("position", [[], [1], ["1", "2"], [1, "ab"], [1, "z" * 32], [-1, "a" * 32], [2**70, "a" * 32]])
async def test_a_token_of_another_making_is_refused(position: list[str | int]) -> None:
    found = await executions(1)
    with pytest.raises(InvalidArgument):
        await found.list("default", "report", [], 1, encode_token(position, query=["default", "report"]))


async def test_a_page_is_cut_where_it_would_not_fit_into_a_message() -> None:
    found = await executions(1, 2, 3, response="x" * (MOST_CHARACTERS // 2))
    first = await found.list("default", "", [], 10, "")
    second = await found.list("default", "", [], 10, first.next_page_token)
    assert [len(page.records) for page in (first, second)] == [2, 1]
    assert second.next_page_token == ""
