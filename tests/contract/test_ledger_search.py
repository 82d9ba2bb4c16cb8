"""What schedulers find in the ledger, and how things were delivered, whatever keeps it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.history.domain.moments import LAST_US
from services.history.domain.records import Batch, Definition, Record, Status
from services.history.ports import Search
from tests.contract.ledger_stores import STORES, Store
from tests.fakes.history_records import execution_id, record

FIRST, SECOND = (Definition(bytes([n]) * 16, b"request", b"job") for n in (1, 2))


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


def stretch(number: int, until: int, **changes: object) -> Record:
    return record(number, Status.SKIPPED, skipped_until_us=until * 1_000_000, **changes)


async def found(store: Store, **asked: object) -> list[int]:
    search = Search(**{"namespace": "default", "limit": 100, **asked})  # type: ignore[arg-type]
    return [int.from_bytes(each.id, "big") for each in await store.archive.search(search)]


async def test_a_search_gives_attempts_and_no_responses(store: Store) -> None:
    told = record(response="long", reason_code=4, dispatcher="d", details=b"\x18\x01")
    await store.ledger.take(Batch([told]))
    search = Search(namespace="default", job_id="report", limit=1)
    assert await store.archive.search(search) == [told._replace(response="")]


async def test_a_search_is_newest_first_and_bounded(store: Store) -> None:
    await store.ledger.take(Batch([*(record(n) for n in range(1, 10)), record(20, job_id="other")]))
    assert await found(store, job_id="report", limit=3) == [9, 8, 7]
    assert await found(store, job_id="report", from_us=2_000_000, to_us=5_000_000) == [4, 3, 2]


async def test_executions_are_found_by_their_ids(store: Store) -> None:
    await store.ledger.take(Batch([record(1), record(2, job_id="other"), record(3, namespace="ops"), record(4)]))
    ids = tuple(map(execution_id, (1, 2, 3, 99)))
    assert await found(store, ids=ids) == [2, 1]
    assert await found(store, ids=ids, job_id="report") == [1]
    assert await found(store, ids=ids, from_us=2_000_000) == [2]
    assert await found(store, ids=ids, limit=1) == [2]


async def test_a_stretch_that_reaches_into_the_span_is_found_when_asked_for(store: Store) -> None:
    batch = [stretch(1, 3), stretch(2, 30), stretch(4, 10), record(5), record(12), stretch(13, 40), stretch(21, 22)]
    await store.ledger.take(Batch([*batch, stretch(3, 30, job_id="other")]))
    span = {"job_id": "report", "from_us": 10_000_000, "to_us": 20_000_000}
    assert await found(store, **span) == [13, 12]
    assert await found(store, **span, with_stretches=True) == [13, 12, 4, 2]
    assert await found(store, **span, with_stretches=True, limit=3) == [13, 12, 4]
    assert await found(store, ids=(execution_id(2), execution_id(5)), from_us=9_000_000, with_stretches=True) == [2]


async def test_a_stretch_is_found_once(store: Store) -> None:
    await store.ledger.take(Batch([stretch(5, 50)]))
    assert await found(store, job_id="report", with_stretches=True) == [5]
    assert await found(store, job_id="report", from_us=5_000_000, with_stretches=True) == [5]


async def test_definitions_are_kept_as_they_were_first_told(store: Store) -> None:
    await store.ledger.take(Batch([record(1, definition_id=FIRST.id)], definitions=[FIRST]))
    again = FIRST._replace(request=b"other")
    await store.ledger.take(Batch([record(2, definition_id=SECOND.id)], definitions=[SECOND, again]))
    assert await store.archive.definitions([FIRST.id, b"?" * 16, SECOND.id]) == {FIRST.id: FIRST, SECOND.id: SECOND}
    assert await store.archive.definitions([]) == {}


async def test_many_definitions_can_come_at_once(store: Store) -> None:
    many = [Definition(n.to_bytes(16, "big"), b"request", b"job") for n in range(1_200)]
    await store.ledger.take(Batch([record(n + 1, definition_id=each.id) for n, each in enumerate(many)], (), many))
    assert await store.archive.definitions([each.id for each in many]) == {each.id: each for each in many}


async def test_definitions_go_with_the_last_execution_that_refers_to_them(store: Store) -> None:
    batch = [
        record(1, definition_id=FIRST.id),
        record(2, definition_id=SECOND.id),
        record(3, Status.RUNNING, definition_id=SECOND.id),
    ]
    await store.ledger.take(Batch(batch, definitions=[FIRST, SECOND]))
    assert await store.ledger.expire(LAST_US, 10) == 2
    assert await store.ledger.sweep(LAST_US, 10) == 1
    assert await store.archive.definitions([FIRST.id, SECOND.id]) == {SECOND.id: SECOND}
    await store.ledger.take(Batch([record(3)]))
    assert await store.ledger.expire(LAST_US, 10) == 1
    assert [await store.ledger.sweep(LAST_US, 10) for _ in range(2)] == [1, 0]
    assert await store.archive.definitions([FIRST.id, SECOND.id]) == {}


async def test_definitions_are_swept_a_few_at_a_time(store: Store) -> None:
    many = [Definition(n.to_bytes(16, "big"), b"", b"") for n in range(5)]
    await store.ledger.take(Batch([], (), many))
    assert [await store.ledger.sweep(LAST_US, 3) for _ in range(3)] == [3, 2, 0]


async def test_a_definition_that_was_swept_can_come_again(store: Store) -> None:
    for _ in range(2):
        await store.ledger.take(Batch([record(definition_id=FIRST.id)], definitions=[FIRST]))
        assert await store.archive.definitions([FIRST.id]) == {FIRST.id: FIRST}
        assert await store.ledger.expire(LAST_US, 10) == 1
        assert await store.ledger.sweep(LAST_US, 10) == 1
