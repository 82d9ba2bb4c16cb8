"""Looking executions up."""

import uuid
from dataclasses import replace

import pytest

from libs.faults import InvalidArgument, NotFound
from libs.paging import encode_token
from services.history.domain.records import Batch, Definition, Status
from services.history.executions import MOST_CHARACTERS, MOST_FOUND_BYTES, NO_DEFINITION, Executions, Listing
from services.history.ports import Search
from tests.fakes.history_records import execution_id, record
from tests.fakes.ledger import FakeLedger

KNOWN = Definition(b"known", b"request", b"job")
REPORTS = Listing(namespace="default", job_id="report")


async def executions(*numbers: int, **changes: object) -> Executions:
    ledger = FakeLedger()
    await ledger.take(Batch([record(number, **changes) for number in numbers]))  # type: ignore[arg-type]
    return Executions(ledger)


async def test_an_execution_is_found_by_any_spelling_of_its_id() -> None:
    found = await executions(10)
    for spelling in (str(uuid.UUID(int=10)), str(uuid.UUID(int=10)).upper()):
        assert (await found.get("default", "", spelling)).record.id == execution_id(10)
    assert (await found.get("default", "report", str(uuid.UUID(int=10)))).record.attempts == b"one"


@pytest.mark.parametrize(("namespace", "job_id"), [("ops", ""), ("default", "other"), ("ops", "report")])
async def test_an_execution_of_another_job_or_namespace_is_not_found(namespace: str, job_id: str) -> None:
    found = await executions(1)
    with pytest.raises(NotFound) as caught:
        await found.get(namespace, job_id, str(uuid.UUID(int=1)))
    assert namespace in caught.value.message


async def test_pages_follow_each_other() -> None:
    found = await executions(*range(1, 8))
    first = await found.list(REPORTS, 3, "")
    second = await found.list(REPORTS, 3, first.next_page_token)
    third = await found.list(REPORTS, 3, second.next_page_token)
    pages = [[r.id for r in page.records] for page in (first, second, third)]
    assert pages == [[execution_id(n) for n in part] for part in ((7, 6, 5), (4, 3, 2), (1,))]
    assert third.next_page_token == ""


async def test_a_token_belongs_to_its_list() -> None:
    found = await executions(1, 2)
    token = (await found.list(REPORTS, 1, "")).next_page_token
    for other in (
        Listing(namespace="ops", job_id="report"),
        Listing(namespace="default"),
        replace(REPORTS, statuses=[Status.FAILED]),
        replace(REPORTS, from_us=0),
        replace(REPORTS, to_us=9_000_000),
    ):
        with pytest.raises(InvalidArgument):
            await found.list(other, 1, token)


@pytest.mark.parametrize("position", [[], [1], ["1", "2"], [1, "ab"], [1, "z" * 32], [-1, "a" * 32], [2**70, "a" * 32]])
async def test_a_token_of_another_making_is_refused(position: list[str | int]) -> None:
    found = await executions(1)
    with pytest.raises(InvalidArgument):
        await found.list(REPORTS, 1, encode_token(position, query=["default", "report"]))


async def test_a_page_is_cut_where_it_would_not_fit_into_a_message() -> None:
    found = await executions(1, 2, 3, response="x" * (MOST_CHARACTERS // 2))
    first = await found.list(Listing(namespace="default"), 10, "")
    second = await found.list(Listing(namespace="default"), 10, first.next_page_token)
    assert [len(page.records) for page in (first, second)] == [2, 1]
    assert second.next_page_token == ""


async def test_a_list_of_a_span_of_time_pages() -> None:
    found = await executions(*range(1, 10))
    span = replace(REPORTS, from_us=3_000_000, to_us=7_000_000)
    first = await found.list(span, 3, "")
    second = await found.list(span, 3, first.next_page_token)
    pages = [[r.id for r in page.records] for page in (first, second)]
    assert pages == [[execution_id(n) for n in part] for part in ((6, 5, 4), (3,))]


@pytest.mark.parametrize(("from_us", "to_us"), [(5, 5), (6, 5), (None, 0)])
async def test_a_span_without_a_moment_in_it_is_refused(from_us: int | None, to_us: int) -> None:
    found = await executions(1)
    with pytest.raises(InvalidArgument) as caught:
        await found.list(replace(REPORTS, from_us=from_us, to_us=to_us), 3, "")
    assert caught.value.violations[0].field == "to"
    assert "2026-01-01T00:00:00Z" in caught.value.violations[0].description


async def delivered(*numbers: int, **changes: object) -> Executions:
    """Executions of which the odd ones were delivered with a definition that is known, the even ones with another."""
    ledger = FakeLedger()
    records = [record(n, definition_id=(b"known" if n % 2 else b"gone"), **changes) for n in numbers]  # type: ignore[arg-type]
    await ledger.take(Batch(records, definitions=[KNOWN]))
    return Executions(ledger)


async def test_an_execution_has_the_definition_that_it_was_delivered_with() -> None:
    found = await delivered(1, 2)
    assert (await found.get("default", "", str(uuid.UUID(int=1)))).definition == KNOWN
    assert (await found.get("default", "", str(uuid.UUID(int=2)))).definition is None
    assert (await (await executions(3)).get("default", "", str(uuid.UUID(int=3)))).definition is None


async def test_definitions_are_found_at_the_places_of_their_executions() -> None:
    found = await delivered(1, 2, 3)
    search = Search(namespace="default", job_id="report", limit=9)
    all_of_it = await found.find(search, with_definitions=True)
    assert [each.id for each in all_of_it.records] == [execution_id(n) for n in (3, 2, 1)]
    assert all_of_it.definitions == (KNOWN, NO_DEFINITION, KNOWN)
    assert (await found.find(search, with_definitions=False)).definitions == ()


async def test_what_is_found_is_cut_where_it_would_not_fit_into_a_message() -> None:
    found = await delivered(2, 4, 6, attempts=b"x" * (MOST_FOUND_BYTES // 2 - 1_000))
    search = Search(namespace="default", job_id="report", limit=9)
    assert [each.id for each in (await found.find(search, with_definitions=True)).records] == [
        execution_id(6),
        execution_id(4),
    ]
    found = await delivered(2, 4, attempts=b"x" * MOST_FOUND_BYTES)
    assert len((await found.find(search, with_definitions=True)).records) == 1
