"""What every ledger does with the account of what policies decided, whatever keeps it."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.history.domain.decisions import Decision, DecisionChoice, Outcome
from services.history.domain.moments import LAST_US
from services.history.domain.records import Batch
from services.history.ports import DecisionQuery
from tests.contract.ledger_stores import STORES, Store
from tests.fakes.history_records import execution_id, record

ALL = DecisionChoice(namespace="default")
RUN, CREATE = 5, 1


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


def decision(number: int, **changes: object) -> Decision:
    """A denied run, decided `number` microseconds after 1970."""
    plain = Decision(
        id=execution_id(number),
        namespace="default",
        job_id="report",
        time_us=number,
        operation=RUN,
        outcome=int(Outcome.DENIED),
        policy_ids=("freeze",),
        content=b"\x00 what was told of %d \xff" % number,
    )
    return plain._replace(**changes)  # type: ignore[arg-type]


def shown(*decisions: Decision) -> list[Decision]:
    return [each._replace(policy_ids=()) for each in decisions]


async def decisions(store: Store, choice: DecisionChoice = ALL) -> list[Decision]:
    return await store.archive.decisions(DecisionQuery(choice=choice, limit=10_000))


async def numbers(store: Store, **choice: object) -> list[int]:
    found = await decisions(store, DecisionChoice(namespace="default", **choice))  # type: ignore[arg-type]
    return [int.from_bytes(each.id, "big") for each in found]


async def test_what_is_recorded_is_there_with_all_that_was_told(store: Store) -> None:
    told = [decision(1), decision(2, job_id="", policy_ids=()), decision(3, job_id="naïve", time_us=LAST_US)]
    assert await store.ledger.record_decisions(told) == {each.id for each in told}
    assert await decisions(store) == shown(*reversed(told))


async def test_one_that_is_known_changes_nothing(store: Store) -> None:
    await store.ledger.record_decisions([decision(1)])
    again = decision(1, job_id="other", time_us=9, policy_ids=("naming",), content=b"another")
    assert await store.ledger.record_decisions([again, decision(2)]) == {execution_id(2)}
    assert await decisions(store) == shown(decision(2), decision(1))
    assert await numbers(store, policy_id="naming") == []


async def test_nothing_to_record_is_nothing(store: Store) -> None:
    assert await store.ledger.record_decisions([]) == frozenset()
    assert await decisions(store) == []


async def test_many_are_recorded_at_once(store: Store) -> None:
    told = [decision(number, policy_ids=("a", "b", "c")) for number in range(1, 1_201)]
    assert len(await store.ledger.record_decisions(told)) == 1_200
    assert await numbers(store, policy_id="b") == list(range(1_200, 0, -1))


async def test_decisions_come_newest_first_and_page_without_gap_or_repeat(store: Store) -> None:
    told = [decision(n, time_us=1_000 + n // 3, policy_ids=("a", "b") if n % 2 else ("a",)) for n in range(1, 12)]
    await store.ledger.record_decisions([*told, decision(20, namespace="ops")])
    for choice in (ALL, dataclasses.replace(ALL, policy_id="a"), dataclasses.replace(ALL, job_id="report")):
        seen: list[Decision] = []
        query = DecisionQuery(choice=choice, limit=4)
        while page := await store.archive.decisions(query):
            assert len(page) <= 4
            seen += page
            query = dataclasses.replace(query, after=(page[-1].time_us, page[-1].id))
        assert seen == shown(*sorted(told, key=lambda each: (each.time_us, each.id), reverse=True))


async def test_decisions_can_be_chosen(store: Store) -> None:
    await store.ledger.record_decisions([
        decision(10, policy_ids=("freeze", "naming")),
        decision(20, outcome=int(Outcome.WARNED), policy_ids=("naming",)),
        decision(30, job_id="other", operation=CREATE),
        decision(40, job_id="other", operation=CREATE, outcome=int(Outcome.UNREACHABLE_DENIED), policy_ids=()),
    ])  # fmt: skip
    assert await numbers(store, job_id="report") == [20, 10]
    assert await numbers(store, policy_id="naming") == [20, 10]
    assert await numbers(store, policy_id="freeze") == [30, 10]
    assert await numbers(store, outcomes=frozenset({Outcome.WARNED, Outcome.UNREACHABLE_DENIED})) == [40, 20]
    assert await numbers(store, operations=frozenset({CREATE})) == [40, 30]
    assert await numbers(store, from_us=20, to_us=40) == [30, 20]
    assert await numbers(store, policy_id="freeze", job_id="other", operations=frozenset({RUN})) == []
    assert await numbers(store, policy_id="freeze", job_id="other", outcomes=frozenset({Outcome.DENIED})) == [30]
    assert await numbers(store, policy_id="naming", from_us=11) == [20]
    assert await decisions(store, DecisionChoice(namespace="ops")) == []


async def test_old_decisions_go_the_oldest_first_a_few_at_a_time(store: Store) -> None:
    await store.ledger.record_decisions([decision(n) for n in range(1, 10)])
    assert await store.ledger.expire_decisions(8, 3) == 3
    assert await numbers(store, policy_id="freeze") == await numbers(store) == [9, 8, 7, 6, 5, 4]
    assert [await store.ledger.expire_decisions(8, 3) for _ in range(3)] == [3, 1, 0]
    assert await numbers(store, policy_id="freeze") == await numbers(store) == [9, 8]


async def test_old_decisions_of_every_namespace_go(store: Store) -> None:
    spaces = ["a", "default", "ops"]
    await store.ledger.record_decisions([decision(n, namespace=spaces[n % 3]) for n in range(1, 10)])
    assert [await store.ledger.expire_decisions(8, 3) for _ in range(4)] == [3, 3, 1, 0]
    left = [await decisions(store, DecisionChoice(namespace=each, policy_id="freeze")) for each in spaces]
    assert left == [shown(decision(9, namespace="a")), [], shown(decision(8, namespace="ops"))]


async def test_decisions_and_executions_leave_each_other_alone(store: Store) -> None:
    await store.ledger.record_decisions([decision(1)])
    await store.ledger.take(Batch([record(1)]))
    assert await store.ledger.expire(LAST_US, 10) == 1
    assert await decisions(store) == shown(decision(1))
    before = await store.archive.position()
    await store.ledger.record_decisions([decision(2)])
    assert await store.archive.position() == before
