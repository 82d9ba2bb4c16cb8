"""What every ledger does, whatever keeps it."""

import dataclasses
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.faults import WrongState
from services.history.domain.records import ACCEPTED, NOTHING_REFUSED, Batch, Record, Refused, Status
from services.history.domain.transitions import KNOWN_ENDS
from services.history.ports import ExecutionQuery
from tests.contract.ledger_stores import STORES, Store, open_fake, stored
from tests.fakes.history_records import execution_id, record


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


async def test_a_record_is_found_as_it_was_told(store: Store) -> None:
    told = record(response="naïve \x00 \U0001f680", error='he said "no"\n', attempts=bytes(range(256)))
    assert await store.ledger.take(Batch([told])) == NOTHING_REFUSED
    assert await store.archive.find("default", told.id) == told


async def test_an_execution_of_another_namespace_is_not_found(store: Store) -> None:
    await store.ledger.take(Batch([record()]))
    assert await store.archive.find("other", execution_id(1)) is None


async def test_an_empty_batch_is_taken(store: Store) -> None:
    assert await store.ledger.take(Batch([])) == NOTHING_REFUSED


async def test_the_first_final_status_stays(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.FAILED)]))
    await store.ledger.take(Batch([record(status=Status.SUCCESS, delivery=2)]))
    await store.ledger.take(Batch([record(status=Status.RUNNING, delivery=3)]))
    assert await stored(store) == record(status=Status.FAILED)


async def test_the_first_final_status_stays_within_a_batch(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.RUNNING), record(), record(status=Status.FAILED)]))
    assert (await stored(store)).status == Status.SUCCESS


async def test_a_status_does_not_go_back(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.RUNNING)]))
    await store.ledger.take(Batch([record(status=Status.PENDING)]))
    await store.ledger.take(Batch([record(status=Status.PENDING, delivery=2)]))
    assert (await stored(store)).status == Status.RUNNING


async def test_a_later_delivery_supersedes_an_earlier_one(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.RUNNING, started_us=50, attempt_count=2, attempts=b"two")]))
    await store.ledger.take(
        Batch([record(status=Status.RUNNING, started_us=90, attempt_count=1, delivery=2, error="again")])
    )
    found = await stored(store)
    assert (found.delivery, found.error) == (2, "again")
    assert (found.started_us, found.attempt_count, found.attempts) == (50, 2, b"two")


async def test_a_failure_of_an_earlier_delivery_does_not_count_while_a_later_one_runs(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.RUNNING, delivery=2)]))
    await store.ledger.take(Batch([record(status=Status.FAILED, delivery=1)]))
    assert (await stored(store)).status == Status.RUNNING
    await store.ledger.take(Batch([record(status=Status.FAILED, delivery=1), record(delivery=2)]))
    assert (await stored(store)).status == Status.SUCCESS


async def test_a_success_of_an_earlier_delivery_counts(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.RUNNING, delivery=2)]))
    await store.ledger.take(Batch([record(delivery=1)]))
    assert ((await stored(store)).status, (await stored(store)).delivery) == (Status.SUCCESS, 2)


@pytest.mark.parametrize("end", [Status.SUCCESS, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED])
async def test_what_was_thought_lost_has_its_real_end_once_that_is_known(store: Store, end: Status) -> None:
    await store.ledger.take(Batch([record(status=Status.LOST, delivery=2, reason="gone", reason_code=12)]))
    await store.ledger.take(Batch([record(status=end, delivery=1)]))
    found = await stored(store)
    assert (found.status, found.delivery, found.reason, found.reason_code) == (end, 2, "", 0)
    await store.ledger.take(Batch([record(status=Status.LOST, delivery=3)]))
    assert (await stored(store)).status == end


@pytest.mark.parametrize("end", [Status.SUCCESS, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED])
async def test_what_was_skipped_while_it_was_under_way_has_its_real_end(store: Store, end: Status) -> None:
    await store.ledger.take(Batch([record(status=Status.SKIPPED, delivery=0, reason="deleted", reason_code=9)]))
    await store.ledger.take(Batch([record(status=Status.RUNNING)]))
    assert (await stored(store)).status == Status.SKIPPED
    await store.ledger.take(Batch([record(status=end)]))
    found = await stored(store)
    assert (found.status, found.delivery, found.reason, found.reason_code) == (end, 1, "", 0)


async def test_that_a_target_has_accepted_a_run_is_news_within_its_attempt(store: Store) -> None:
    begun = record(status=Status.RUNNING)
    accepted = begun._replace(
        reason="accepted", reason_code=ACCEPTED, attempts=b"1", status_code=202, details=b"\x18\x01"
    )
    await store.ledger.take(Batch([begun]))
    await store.ledger.take(Batch([accepted]))
    assert await stored(store) == accepted
    await store.ledger.take(Batch([begun]))
    assert await stored(store) == accepted


async def test_what_was_accepted_under_an_epoch_that_is_over_counts(store: Store) -> None:
    accepted = record(status=Status.RUNNING, reason_code=ACCEPTED, epoch=1)
    await store.ledger.seal(accepted.shard, 2, 0)
    assert await store.ledger.take(Batch([accepted])) == NOTHING_REFUSED
    assert await stored(store) == accepted


@pytest.mark.parametrize("status", [Status.RUNNING, Status.FAILED, Status.CANCELLED, Status.LOST, Status.SKIPPED])
async def test_a_settled_end_stands_above_what_later_deliveries_came_to(store: Store, status: Status) -> None:
    await store.ledger.take(Batch([record(status=status, delivery=2, attempt_count=2, attempts=b"two")]))
    await store.ledger.take(Batch([record(status=Status.TIMED_OUT, attempt_count=0, attempts=b"", is_settled=1)]))
    await store.ledger.take(Batch([record(is_settled=1), record(delivery=3)]))
    found = await stored(store)
    assert (found.status, found.is_settled, found.delivery) == (Status.TIMED_OUT, 1, 2)
    assert (found.attempt_count, found.attempts) == (2, b"two")


async def test_what_has_succeeded_is_not_settled_otherwise(store: Store) -> None:
    await store.ledger.take(Batch([record()]))
    await store.ledger.take(Batch([record(status=Status.CANCELLED, delivery=2, is_settled=1)]))
    assert await stored(store) == record()


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.SKIPPED, Status.LOST])
async def test_what_is_lost_stays_lost_when_no_end_is_told(store: Store, status: Status) -> None:
    await store.ledger.take(Batch([record(status=Status.LOST)]))
    await store.ledger.take(Batch([record(status=status, attempt_count=5)]))
    await store.ledger.take(Batch([record(delivery=2)]))
    assert await stored(store) == record(status=Status.LOST)


async def test_what_is_not_told_again_stays(store: Store) -> None:
    start = record(status=Status.RUNNING, claimant="a", dispatcher="d", definition_id=b"1" * 16, details=b"\x18\x01")
    await store.ledger.take(Batch([start]))
    await store.ledger.take(Batch([record()]))
    found = await stored(store)
    assert (found.claimant, found.dispatcher, found.definition_id, found.details) == (
        "a",
        "d",
        b"1" * 16,
        b"\x18\x01",
    )


async def test_the_first_definition_stays(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.RUNNING, definition_id=b"1" * 16)]))
    await store.ledger.take(Batch([record(delivery=2, definition_id=b"2" * 16)]))
    assert (await stored(store)).definition_id == b"1" * 16


async def test_progress_within_a_delivery_counts(store: Store) -> None:
    await store.ledger.take(Batch([record(status=Status.RUNNING, attempt_count=1)]))
    await store.ledger.take(Batch([record(status=Status.RUNNING, attempt_count=2, attempts=b"two", error="refused")]))
    found = await stored(store)
    assert (found.attempt_count, found.attempts, found.error) == (2, b"two", "refused")


async def test_a_seal_refuses_starts_of_older_epochs_and_takes_their_ends(store: Store) -> None:
    await store.ledger.seal(3, 8, 0)
    batch = [record(1, Status.RUNNING), record(2, Status.PENDING), record(3), record(4, Status.RUNNING, epoch=8)]
    assert await store.ledger.take(Batch(batch)) == Refused(stale=frozenset({execution_id(1), execution_id(2)}))
    assert await store.archive.find("default", execution_id(1)) is None
    assert (await stored(store, 3)).status == Status.SUCCESS
    assert (await stored(store, 4)).status == Status.RUNNING


async def test_a_seal_concerns_its_own_shard_only(store: Store) -> None:
    await store.ledger.seal(4, 100, 0)
    assert await store.ledger.take(Batch([record(status=Status.RUNNING)])) == NOTHING_REFUSED


async def test_a_seal_tells_what_is_unfinished_and_what_is_recorded_past_the_watermark(store: Store) -> None:
    running = record(2, Status.RUNNING, attempts=b"tried", response="partly")
    await store.ledger.take(Batch([record(1), running, record(3), record(4, Status.PENDING, shard=5)]))
    seal = await store.ledger.seal(3, 8, 2_000_000)
    assert seal.unfinished == (running._replace(response=""),)
    assert seal.recorded_ids == (execution_id(3),)


async def test_a_seal_comes_after_what_was_taken_before_it(store: Store) -> None:
    taken = store.ledger.take(Batch([record(1, Status.RUNNING)]))
    seal = await store.ledger.seal(3, 8, 0)
    late = store.ledger.take(Batch([record(2, Status.RUNNING)]))
    assert [r.id for r in seal.unfinished] == [execution_id(1)]
    assert await taken == NOTHING_REFUSED
    assert await late == Refused(stale=frozenset({execution_id(2)}))


async def test_sealing_an_epoch_again_answers_again(store: Store) -> None:
    await store.ledger.take(Batch([record(1, Status.RUNNING)]))
    assert await store.ledger.seal(3, 8, 0) == await store.ledger.seal(3, 8, 0)


async def test_an_epoch_older_than_the_sealed_one_cannot_be_sealed(store: Store) -> None:
    await store.ledger.seal(3, 8, 0)
    with pytest.raises(WrongState) as caught:
        await store.ledger.seal(3, 7, 0)
    assert caught.value.reason == "EPOCH_SEALED"


async def test_a_list_is_newest_first_and_pages_without_gap_or_repeat(store: Store) -> None:
    batch = [record(n, scheduled_us=n // 3, attempts=b"x") for n in range(1, 11)]
    await store.ledger.take(Batch([*batch, record(20, job_id="other"), record(21, namespace="other")]))
    seen: list[Record] = []
    query = ExecutionQuery(namespace="default", job_id="report", limit=4)
    while True:
        page = await store.archive.page(query)
        assert len(page.records) <= 4
        seen += page.records
        if page.next is None:
            break
        query = ExecutionQuery(namespace="default", job_id="report", limit=4, after=page.next)
    expected = sorted(batch, key=lambda r: (r.scheduled_us, r.id), reverse=True)
    assert seen == [r._replace(attempts=b"") for r in expected]


async def test_a_list_can_be_of_all_jobs_of_a_namespace(store: Store) -> None:
    await store.ledger.take(Batch([record(1), record(2, job_id="other"), record(3, namespace="other")]))
    page = await store.archive.page(ExecutionQuery(namespace="default", limit=10))
    assert [r.id for r in page.records] == [execution_id(2), execution_id(1)]


async def test_a_list_can_be_of_some_statuses(store: Store) -> None:
    await store.ledger.take(
        Batch([record(1, Status.FAILED), record(2), record(3, Status.SKIPPED), record(4, Status.FAILED)])
    )
    statuses = frozenset({int(Status.FAILED), int(Status.SKIPPED)})
    query = ExecutionQuery(namespace="default", statuses=statuses, limit=2)
    first = await store.archive.page(query)
    assert [r.id for r in first.records] == [execution_id(4), execution_id(3)]
    rest = await store.archive.page(ExecutionQuery(namespace="default", statuses=statuses, limit=2, after=first.next))
    assert ([r.id for r in rest.records], rest.next) == ([execution_id(1)], None)


async def test_a_list_can_be_of_a_span_of_time(store: Store) -> None:
    await store.ledger.take(Batch([record(n) for n in range(1, 10)]))
    query = ExecutionQuery(namespace="default", from_us=3_000_000, to_us=7_000_000, limit=3)
    first = await store.archive.page(query)
    assert [r.id for r in first.records] == [execution_id(n) for n in (6, 5, 4)]
    rest = await store.archive.page(dataclasses.replace(query, after=first.next))
    assert ([r.id for r in rest.records], rest.next) == ([execution_id(3)], None)


async def test_a_span_of_time_and_statuses_go_together(store: Store) -> None:
    batch = [record(n, Status.CANCELLED if n % 2 else Status.LOST, job_id="report") for n in range(1, 10)]
    await store.ledger.take(Batch(batch))
    query = ExecutionQuery(
        namespace="default",
        job_id="report",
        statuses=frozenset({int(Status.CANCELLED)}),
        from_us=3_000_000,
        to_us=7_000_000,
        limit=9,
    )
    assert [r.id for r in (await store.archive.page(query)).records] == [execution_id(5), execution_id(3)]


async def test_changes_come_in_their_order_each_execution_once(store: Store) -> None:
    start = await store.archive.position()
    await store.ledger.take(Batch([record(1, Status.RUNNING)]))
    await store.ledger.take(Batch([record(2)]))
    await store.ledger.take(Batch([record(1)]))
    changes = await store.archive.changes(start.seq, 10)
    assert [change.record.id for change in changes] == [execution_id(2), execution_id(1)]
    assert changes[-1].record == record(1)._replace(attempts=b"")
    assert await store.archive.changes(changes[-1].seq, 10) == []
    end = await store.archive.position()
    assert end.ledger_id == start.ledger_id
    assert end.seq >= changes[-1].seq


async def test_what_changes_nothing_is_no_change(store: Store) -> None:
    await store.ledger.take(Batch([record(1), record(2, Status.RUNNING)]))
    last = (await store.archive.changes(0, 10))[-1].seq
    await store.ledger.take(Batch([record(1), record(2, Status.RUNNING)]))
    assert await store.archive.changes(last, 10) == []


async def test_changes_come_in_pages(store: Store) -> None:
    await store.ledger.take(Batch([record(n) for n in range(1, 6)]))
    first = await store.archive.changes(0, 3)
    rest = await store.archive.changes(first[-1].seq, 3)
    assert [change.record.id for change in first + rest] == [execution_id(n) for n in range(1, 6)]


async def test_what_is_old_and_finished_expires_a_few_at_a_time(store: Store) -> None:
    await store.ledger.take(
        Batch([record(n, shard=n % 2) for n in range(1, 6)] + [record(6, Status.RUNNING), record(9)])
    )
    assert [await store.ledger.expire(8_000_000, 3) for _ in range(3)] == [3, 2, 0]
    page = await store.archive.page(ExecutionQuery(namespace="default", limit=10))
    assert [r.id for r in page.records] == [execution_id(9), execution_id(6)]


async def test_the_order_of_changes_goes_on_rising_after_everything_expired(store: Store) -> None:
    await store.ledger.take(Batch([record(1)]))
    before = await store.archive.position()
    assert await store.ledger.expire(8_000_000, 10) == 1
    await store.ledger.take(Batch([record(1)]))
    assert [change.record.id for change in await store.archive.changes(before.seq, 10)] == [execution_id(1)]


async def test_a_probe_leaves_nothing_behind(store: Store) -> None:
    before = await store.archive.position()
    await store.ledger.probe()
    assert await store.archive.position() == before


@st.composite
def tellings(draw: st.DrawFn) -> list[Batch]:
    """Batches of news as dispatchers could send them, delayed and repeated at will: each tells all attempts so far."""

    def news(number: int, delivery: int, status: Status, attempts: int, is_marked: bool) -> Record:
        if status >= Status.SUCCESS:
            attempts = 3
        count = 0 if status == Status.PENDING else (delivery - 1) * 3 + attempts
        return record(
            number,
            status,
            delivery=delivery,
            started_us=None if status in (Status.PENDING, Status.SKIPPED) else delivery * 100,
            attempt_count=count,
            attempts=b"x" * count,
            error=f"{delivery}/{status}/{count}",
            shard=number % 2,
            epoch=delivery,
            reason_code=ACCEPTED if is_marked and status == Status.RUNNING else int(status),
            is_settled=1 if is_marked and status in KNOWN_ENDS else 0,
            dispatcher=f"dispatcher-{delivery}" if delivery > 1 else "",
            definition_id=bytes([delivery]) * 16 if delivery < 3 else b"",
            details=bytes([delivery]) if delivery != 2 else b"",
            skipped_until_us=9 if status == Status.SKIPPED and delivery == 1 else None,
        )

    def batch(records: list[Record], claimants: list[str]) -> Batch:
        told = [
            each._replace(claimant=claimant) if each.status == Status.RUNNING else each
            for each, claimant in zip(records, claimants, strict=False)
        ]
        return Batch(told, frozenset(place for place, each in enumerate(told) if each.claimant))

    one = st.builds(
        news, st.integers(1, 3), st.integers(1, 3), st.sampled_from(Status), st.integers(1, 3), st.booleans()
    )
    claimants = st.lists(st.sampled_from(["", "", "a", "b"]), min_size=6, max_size=6)
    return draw(st.lists(st.builds(batch, st.lists(one, max_size=6), claimants), min_size=1, max_size=6))


@pytest.mark.parametrize("name", [name for name in STORES if name != "fake"])
@given(batches=tellings(), sealed=st.integers(0, 3), seal_before=st.integers(0, 5), in_one_go=st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_it_agrees_with_the_rules_whatever_is_told(
    name: str, tmp_path: Path, batches: list[Batch], sealed: int, seal_before: int, in_one_go: bool
) -> None:
    async def tell(store: Store) -> tuple[list[Refused], list[Record | None]]:
        pending = []
        for place, batch in enumerate(batches):
            if place == seal_before:
                await store.ledger.seal(1, sealed, 0)
            pending.append(store.ledger.take(batch))
            if not in_one_go:
                await pending[-1]
        refused = [await future for future in pending]
        return refused, [await store.archive.find("default", execution_id(number)) for number in range(1, 4)]

    async with open_fake(tmp_path) as fake, STORES[name](tmp_path / uuid.uuid4().hex) as real:
        assert await tell(real) == await tell(fake)
