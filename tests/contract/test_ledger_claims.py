"""Who may begin an execution that must not begin twice, whatever keeps the ledger."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.history.domain.records import ACCEPTED, NOTHING_REFUSED, Batch, Record, Refused, Status
from tests.contract.ledger_stores import STORES, Store, stored
from tests.fakes.history_records import execution_id, record

CLAIMED = Refused(claimed=frozenset({execution_id(1)}))


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


def claim(claimant: str, number: int = 1, **changes: object) -> Record:
    return record(number, Status.RUNNING, claimant=claimant, **changes)


def claims(*records: Record) -> Batch:
    return Batch(records, frozenset(range(len(records))))


@pytest.mark.parametrize("before", [[], [record(status=Status.PENDING)]])
async def test_what_nobody_has_begun_can_be_claimed(store: Store, before: list[Record]) -> None:
    await store.ledger.take(Batch(before))
    assert await store.ledger.take(claims(claim("a"))) == NOTHING_REFUSED
    assert ((await stored(store)).status, (await stored(store)).claimant) == (Status.RUNNING, "a")


async def test_a_claim_is_granted_again_to_its_claimant_only(store: Store) -> None:
    await store.ledger.take(claims(claim("a")))
    assert await store.ledger.take(claims(claim("a", attempt_count=2))) == NOTHING_REFUSED
    assert await store.ledger.take(claims(claim("b", delivery=2))) == CLAIMED
    found = await stored(store)
    assert (found.claimant, found.delivery, found.attempt_count) == ("a", 1, 2)


async def test_what_a_target_has_accepted_cannot_be_claimed_again_not_even_by_its_claimant(store: Store) -> None:
    await store.ledger.take(claims(claim("a")))
    await store.ledger.take(Batch([record(1, Status.RUNNING, reason_code=ACCEPTED)]))
    assert await store.ledger.take(claims(claim("a", delivery=2))) == CLAIMED
    assert ((await stored(store)).reason_code, (await stored(store)).delivery) == (ACCEPTED, 1)


async def test_what_was_begun_without_a_claim_cannot_be_claimed(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.RUNNING)]))
    assert await store.ledger.take(claims(claim("a"))) == CLAIMED


@pytest.mark.parametrize("final", [status for status in Status if status >= Status.SUCCESS])
async def test_what_has_ended_cannot_be_claimed(store: Store, final: Status) -> None:
    told = record(status=final, claimant="a")
    await store.ledger.take(Batch([told]))
    assert await store.ledger.take(claims(claim("a", delivery=9))) == CLAIMED
    assert await stored(store) == told


async def test_a_claim_of_an_overtaken_delivery_is_refused(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.PENDING, delivery=2)]))
    assert await store.ledger.take(claims(claim("a", delivery=1))) == CLAIMED
    assert await store.ledger.take(claims(claim("b", delivery=2))) == NOTHING_REFUSED


async def test_of_two_claims_in_a_batch_the_first_wins(store: Store) -> None:
    assert await store.ledger.take(claims(claim("a"), claim("b"), claim("a"), claim("c", 2))) == CLAIMED
    assert ((await stored(store)).claimant, (await stored(store, 2)).claimant) == ("a", "c")


async def test_of_many_claims_that_come_at_once_the_first_wins(store: Store) -> None:
    taken = [store.ledger.take(claims(claim(claimant))) for claimant in "abcdefgh"]
    assert [await each for each in taken] == [NOTHING_REFUSED] + [CLAIMED] * 7
    assert (await stored(store)).claimant == "a"


async def test_a_claim_comes_after_an_end_that_was_told_before_it(store: Store) -> None:
    batch = Batch([claim("a"), record(), claim("a")], frozenset({0, 2}))
    assert await store.ledger.take(batch) == CLAIMED
    assert (await stored(store)).status == Status.SUCCESS


async def test_what_is_told_of_a_claimed_execution_without_a_claim_counts(store: Store) -> None:
    await store.ledger.take(claims(claim("a")))
    batch = Batch([claim("b"), record(response="delivered")], frozenset({0}))
    assert await store.ledger.take(batch) == CLAIMED
    found = await stored(store)
    assert (found.status, found.response, found.claimant) == (Status.SUCCESS, "delivered", "a")


async def test_a_claim_of_an_owner_that_was_replaced_is_stale(store: Store) -> None:
    await store.ledger.seal(3, 8, 0)
    assert await store.ledger.take(claims(claim("a"))) == Refused(stale=frozenset({execution_id(1)}))
    assert await store.ledger.take(claims(claim("b", epoch=8))) == NOTHING_REFUSED


async def test_a_refused_claim_changes_nothing(store: Store) -> None:
    await store.ledger.take(claims(claim("a")))
    before = await store.archive.position()
    await store.ledger.take(claims(claim("b")))
    assert await store.archive.changes(before.seq, 10) == []
