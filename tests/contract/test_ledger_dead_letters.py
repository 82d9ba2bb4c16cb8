"""What every ledger does with deliveries that failed for good, whatever keeps it."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chronos.history.v1.execution_pb2 import Execution

from services.history.convert import uuid_text
from services.history.domain.dead_letters import REPLAY, Choice, DeadLetter
from services.history.domain.moments import LAST_US
from services.history.domain.records import Batch, Definition, Record, Status
from services.history.ports import DeadLetterQuery
from tests.contract.ledger_stores import STORES, Store
from tests.fakes.history_records import execution_id, record

ALL = Choice(namespace="default", with_replayed=True)
DEFINITION = Definition(b"1" * 16, b"request", b"job")


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


def dead(number: int, status: Status = Status.FAILED, **changes: object) -> Record:
    return record(number, status, error="refused", **changes)


def replay(number: int, of: int, status: Status = Status.SUCCESS, **changes: object) -> Record:
    details = Execution(replay_of=uuid_text(execution_id(of))).SerializeToString()
    return record(number, status, cause=REPLAY, details=details, **changes)


async def take(store: Store, *records: Record) -> None:
    await store.ledger.take(Batch(records))


async def letters(store: Store, choice: Choice = ALL) -> list[DeadLetter]:
    return await store.archive.dead_letters(DeadLetterQuery(choice=choice, limit=100))


async def numbers(store: Store, **choice: object) -> list[int]:
    found = await letters(store, Choice(namespace="default", **choice))  # type: ignore[arg-type]
    return [int.from_bytes(letter.record.id, "big") for letter in found]


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT, Status.LOST])
async def test_a_delivery_that_failed_for_good_is_a_dead_letter_with_all_that_is_known(
    store: Store, status: Status
) -> None:
    told = dead(1, status, response="naïve \x00", attempts=bytes(range(256)), reason_code=12, dispatcher="d")
    await take(store, record(1, Status.RUNNING), record(2))
    assert await letters(store) == []
    await take(store, told)
    assert await letters(store) == [DeadLetter(told)]


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.SUCCESS, Status.SKIPPED, Status.CANCELLED])
async def test_nothing_else_is_a_dead_letter(store: Store, status: Status) -> None:
    await take(store, record(1, status))
    assert await letters(store) == []


async def test_an_end_that_does_not_count_makes_no_dead_letter(store: Store) -> None:
    await take(store, record(1), record(2, Status.RUNNING, delivery=2))
    await take(store, dead(1), dead(2, delivery=1))
    assert await letters(store) == []


async def test_one_that_fails_in_the_batch_in_which_it_succeeds_is_none(store: Store) -> None:
    await take(store, dead(1, Status.LOST), record(1))
    assert await letters(store) == []


@pytest.mark.parametrize("end", [Status.SUCCESS, Status.CANCELLED])
async def test_what_was_lost_and_ended_well_is_no_dead_letter_any_more(store: Store, end: Status) -> None:
    await take(store, dead(1, Status.LOST, delivery=2), dead(2, Status.LOST), dead(3))
    await take(store, record(1, end, delivery=1), record(2, end, delivery=9), record(3, end))
    assert await numbers(store) == [3, 2]


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT])
@pytest.mark.parametrize("end", [Status.SUCCESS, Status.CANCELLED])
async def test_what_died_and_was_settled_well_is_no_dead_letter_any_more(
    store: Store, status: Status, end: Status
) -> None:
    await take(store, dead(1, status), dead(2, status))
    await take(store, record(1, end, is_settled=1), record(2, end))
    assert await numbers(store) == [2]


async def test_what_died_and_was_settled_badly_stays_a_dead_letter_with_the_end_that_counts(store: Store) -> None:
    await take(store, dead(1))
    await take(store, dead(1, Status.TIMED_OUT, is_settled=1))
    assert await letters(store) == [DeadLetter(dead(1, Status.TIMED_OUT, is_settled=1))]


async def test_what_was_lost_and_really_failed_stays_a_dead_letter_with_its_real_end(store: Store) -> None:
    await take(store, dead(1, Status.LOST, reason_code=12))
    await take(store, dead(1, Status.TIMED_OUT))
    assert await letters(store) == [DeadLetter(dead(1, Status.TIMED_OUT))]


async def test_telling_an_end_again_does_not_bring_a_deleted_dead_letter_back(store: Store) -> None:
    await take(store, dead(1))
    assert await store.ledger.delete_dead_letters(ALL, 10) == 1
    await take(store, dead(1), record(2))
    assert await letters(store) == []


async def test_dead_letters_come_last_death_first_and_page_without_gap_or_repeat(store: Store) -> None:
    batch = [dead(n, completed_us=1_000 + n // 3, job_id="report" if n % 2 else "other") for n in range(1, 12)]
    await take(store, *batch, dead(20, namespace="ops"))
    seen: list[DeadLetter] = []
    query = DeadLetterQuery(choice=ALL, limit=4)
    while page := await store.archive.dead_letters(query):
        assert len(page) <= 4
        seen += page
        last = page[-1].record
        assert last.completed_us is not None
        query = dataclasses.replace(query, after=(last.completed_us, last.id))
    expected = sorted(batch, key=lambda each: (each.completed_us or 0, each.id), reverse=True)
    assert [letter.record for letter in seen] == expected


async def test_dead_letters_can_be_chosen(store: Store) -> None:
    await take(
        store,
        dead(1, completed_us=10, job_id="report"),
        dead(2, Status.TIMED_OUT, completed_us=20, job_id="report"),
        dead(3, Status.LOST, completed_us=30, job_id="other", reason_code=12),
        dead(4, completed_us=40, job_id="other", reason_code=11),
    )
    assert await numbers(store, job_id="report") == [2, 1]
    assert await numbers(store, statuses=frozenset({int(Status.FAILED), int(Status.LOST)})) == [4, 3, 1]
    assert await numbers(store, reason_codes=frozenset({12})) == [3]
    assert await numbers(store, from_us=20, to_us=40) == [3, 2]
    assert await numbers(store, ids=(execution_id(1), execution_id(4), execution_id(9))) == [4, 1]
    assert await numbers(store, job_id="other", statuses=frozenset({int(Status.LOST)}), from_us=30) == [3]
    assert await letters(store, Choice(namespace="ops")) == []


async def test_dead_letters_are_counted_by_status(store: Store) -> None:
    await take(store, dead(1), dead(2), dead(3, Status.LOST), dead(4, namespace="ops"))
    assert await store.archive.count_dead_letters(ALL) == {Status.FAILED: 2, Status.LOST: 1}
    assert await store.archive.count_dead_letters() == {Status.FAILED: 3, Status.LOST: 1}
    assert await store.archive.count_dead_letters(Choice(namespace="nowhere")) == {}


async def test_a_replay_that_succeeds_settles_the_dead_letter(store: Store) -> None:
    await take(store, dead(1), dead(2))
    await take(store, replay(7, 1, Status.RUNNING))
    assert await numbers(store) == [2, 1]
    end = replay(7, 1)._replace(details=b"")
    await take(store, end)
    assert await numbers(store) == [2]
    assert await letters(store) == [DeadLetter(dead(2)), DeadLetter(dead(1), execution_id(7))]
    assert await store.archive.count_dead_letters() == {Status.FAILED: 1}


async def test_a_replay_that_fails_leaves_the_dead_letter_open_and_adds_none(store: Store) -> None:
    await take(store, dead(1))
    await take(store, replay(7, 1, Status.FAILED))
    assert await letters(store) == [DeadLetter(dead(1))]
    await take(store, replay(8, 7, Status.TIMED_OUT))
    assert await letters(store) == [DeadLetter(dead(1))]
    await take(store, replay(9, 8))
    assert await letters(store) == [DeadLetter(dead(1), execution_id(9))]


async def test_a_replay_of_what_has_no_open_dead_letter_has_its_own_when_it_fails(store: Store) -> None:
    await take(store, record(1), dead(2), dead(3))
    await take(store, replay(6, 3))
    await store.ledger.delete_dead_letters(Choice(namespace="default", ids=(execution_id(2),)), 1)
    await take(store, replay(7, 1, Status.FAILED), replay(8, 2, Status.FAILED), replay(9, 3, Status.FAILED))
    assert await numbers(store) == [9, 8, 7]


async def test_a_replay_thought_lost_that_succeeded_settles_the_dead_letter(store: Store) -> None:
    await take(store, dead(1))
    await take(store, replay(7, 1, Status.LOST))
    await take(store, replay(7, 1))
    assert await letters(store) == [DeadLetter(dead(1), execution_id(7))]


async def test_only_chosen_dead_letters_are_deleted_a_few_at_a_time(store: Store) -> None:
    await take(store, *[dead(n, job_id="other" if n == 3 else "report") for n in range(1, 8)], record(9))
    chosen = Choice(namespace="default", job_id="report")
    assert [await store.ledger.delete_dead_letters(chosen, 4) for _ in range(3)] == [4, 2, 0]
    assert await numbers(store) == [3]
    assert await store.archive.find("default", execution_id(1)) is not None


async def test_dead_letters_go_once_they_are_too_old(store: Store) -> None:
    await take(store, *[dead(n, completed_us=n, namespace="ops" if n % 2 else "default") for n in range(1, 8)])
    assert [await store.ledger.expire_dead_letters(5, 100, 3) for _ in range(3)] == [3, 1, 0]
    assert await numbers(store) == [6]
    assert len(await letters(store, Choice(namespace="ops"))) == 2


async def test_the_oldest_dead_letters_of_a_namespace_go_when_there_are_too_many(store: Store) -> None:
    await take(store, *[dead(n, completed_us=10 + n // 2) for n in range(1, 8)], dead(9, namespace="ops"))
    assert [await store.ledger.expire_dead_letters(0, 2, 3) for _ in range(3)] == [3, 2, 0]
    assert await numbers(store) == [7, 6]
    assert len(await letters(store, Choice(namespace="ops"))) == 1


async def test_a_dead_letter_and_its_definition_outlive_the_execution(store: Store) -> None:
    told = dead(1, definition_id=DEFINITION.id)
    await store.ledger.take(Batch([told, record(2)], (), [DEFINITION]))
    assert await store.ledger.expire(LAST_US, 10) == 2
    assert await store.ledger.sweep(LAST_US, 10) == 0
    assert await store.archive.definitions([DEFINITION.id]) == {DEFINITION.id: DEFINITION}
    assert await letters(store) == [DeadLetter(told)]
    assert await store.ledger.delete_dead_letters(ALL, 10) == 1
    assert await store.ledger.sweep(LAST_US, 10) == 1
