"""What policies decided reaches its account, holds nobody up on its way, and takes no more memory than it may."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from chronos.history.v1.policy_decision_pb2 import PolicyDecision
from chronos.policy.v1.decision_pb2 import Decision, RuleResult
from chronos.policy.v1.policy_pb2 import Policy
from google.protobuf.struct_pb2 import Value
from prometheus_client import REGISTRY

from libs.faults import Fault, Unavailable
from services.scheduler.policies.accounts import BATCH, BATCH_BYTES, Accounts, decision_id
from services.scheduler.policies.shortened import MOST_CHARACTERS, MOST_RESULTS, USUAL_BYTES, shortened
from tests.fakes.clock import FakeClock
from tests.fakes.decisions import FakeDecisionStore

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
SECOND = timedelta(seconds=1)
LOST = "chronos_scheduler_policy_decisions_lost_total"


class Desk:
    """Accounts, where they are kept, and a clock."""

    def __init__(self, *, most_waiting: int = 10_000) -> None:
        self.clock = FakeClock(NOW)
        self.store = FakeDecisionStore()
        self.accounts = Accounts(self.store, self.clock, most_waiting=most_waiting)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            loop = group.create_task(self.accounts.run())
            yield
            loop.cancel()

    def add(self, *jobs: str, **facts: object) -> None:
        for job in jobs:
            self.accounts.add(denied(job, **facts))

    @property
    def jobs(self) -> list[str]:
        return [decision.job_id for decision in self.store.decisions]


def denied(job: str = "report", **facts: object) -> PolicyDecision:
    plain = PolicyDecision(
        namespace="default", job_id=job, operation=Policy.Operation.RUN, outcome=PolicyDecision.Outcome.DENIED
    )
    plain.MergeFrom(PolicyDecision(**facts))  # type: ignore[arg-type]
    return plain


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def lost() -> Callable[[], float]:
    """How many were lost since the test began."""
    before = counted(LOST)
    return lambda: counted(LOST) - before


async def test_what_comes_together_is_recorded_together_in_its_order() -> None:
    desk = Desk()
    async with desk.open():
        desk.add("a", "b", "c")
        assert desk.store.batches == []
        await desk.clock.advance(SECOND)
        assert desk.store.batches == [3]
        desk.add("d")
        await desk.clock.advance(SECOND)
    assert desk.jobs == ["a", "b", "c", "d"]
    assert desk.accounts.waiting == 0


async def test_nothing_is_done_while_there_is_nothing_to_record() -> None:
    desk = Desk()
    async with desk.open():
        await desk.clock.advance(timedelta(hours=1))
        assert desk.clock.sleeping == 0
    assert desk.store.batches == []


async def test_what_misses_is_filled_in_and_what_is_told_stays() -> None:
    desk = Desk()
    known = str(uuid.UUID(int=7))
    told = denied("told", id=known)
    told.time.FromDatetime(NOW - SECOND)
    async with desk.open():
        desk.add("filled")
        desk.accounts.add(told)
        await desk.clock.advance(SECOND)
    filled, kept = desk.store.decisions
    assert filled.time.ToMicroseconds() == NOW_US
    assert uuid.UUID(filled.id).version == 7
    assert (kept.id, kept.time.ToMicroseconds()) == (known, NOW_US - 1_000_000)


async def test_what_history_could_not_take_is_told_again_under_the_same_ids_until_it_can() -> None:
    desk = Desk()
    desk.store.fault = Unavailable("no history is running")
    async with desk.open():
        desk.add("a", "b")
        await desk.clock.advance(10 * SECOND)
        assert desk.jobs == []
        assert 8 <= len(desk.store.batches) <= 11
        desk.add("c")
        desk.store.fault = None
        await desk.clock.advance(2 * SECOND)
    assert desk.jobs == ["a", "b", "c"]
    assert len({decision.id for decision in desk.store.told}) == 3


async def test_what_became_durable_without_an_answer_is_accounted_for_once() -> None:
    desk = Desk()
    desk.store.lost_answers = 1
    async with desk.open():
        desk.add("a", "b")
        await desk.clock.advance(3 * SECOND)
    assert desk.store.batches == [2, 2]
    assert desk.jobs == ["a", "b"]


async def test_when_too_many_wait_the_oldest_go_and_are_counted(lost: Callable[[], float]) -> None:
    desk = Desk(most_waiting=3)
    desk.store.fault = Unavailable("no history is running")
    async with desk.open():
        desk.add("a", "b", "c", "d", "e")
        assert (desk.accounts.waiting, lost()) == (3, 2)
        await desk.clock.advance(5 * SECOND)
        desk.store.fault = None
        await desk.clock.advance(2 * SECOND)
    assert desk.jobs == ["c", "d", "e"]
    assert lost() == 2


async def test_what_is_on_its_way_counts_as_waiting(lost: Callable[[], float]) -> None:
    desk = Desk(most_waiting=3)
    desk.store.is_held = True
    async with desk.open():
        desk.add("a", "b")
        await desk.clock.advance(SECOND)
        desk.add("c", "d", "e")
        assert (desk.accounts.waiting, lost()) == (3, 2)
        desk.store.release()
        await desk.clock.advance(SECOND)
    assert desk.jobs == ["a", "b", "e"]


async def test_much_goes_in_bounded_batches() -> None:
    desk = Desk()
    async with desk.open():
        desk.add(*map(str, range(2 * BATCH + 1)))
        await desk.clock.advance(SECOND)
    assert desk.store.batches == [BATCH, BATCH, 1]
    assert desk.jobs == list(map(str, range(2 * BATCH + 1)))


async def test_a_batch_weighs_no_more_than_a_message_may() -> None:
    desk = Desk()
    heavy = Decision(violations=[RuleResult(rule_id="r", message="m" * (USUAL_BYTES - 200))])
    async with desk.open():
        desk.add(*map(str, range(300)), decision=heavy)
        await desk.clock.advance(SECOND)
    assert max(desk.store.bytes) <= BATCH_BYTES
    assert len(desk.jobs) == 300


async def test_one_that_history_can_never_take_does_not_hold_up_the_others(lost: Callable[[], float]) -> None:
    desk = Desk()
    desk.store.invalid = {"c"}
    async with desk.open():
        desk.add("a", "b", "c", "d", "e")
        await desk.clock.advance(SECOND)
    assert desk.jobs == ["a", "b", "d", "e"]
    assert lost() == 1


async def test_the_loop_goes_on_after_a_fault_that_nobody_expects() -> None:
    desk = Desk()
    desk.store.fault = Fault("a bug")
    async with desk.open():
        desk.add("a")
        await desk.clock.advance(SECOND)
        desk.store.fault = None
        await desk.clock.advance(2 * SECOND)
    assert desk.jobs == ["a"]


async def test_at_the_end_what_waits_is_recorded() -> None:
    desk = Desk()
    desk.add(*map(str, range(BATCH + 1)))
    await desk.accounts.drain()
    assert len(desk.jobs) == BATCH + 1


async def test_the_end_waits_for_what_is_on_its_way_and_tells_nothing_twice() -> None:
    desk = Desk()
    desk.store.is_held = True
    async with desk.open(), asyncio.TaskGroup() as group:
        desk.add("a")
        await desk.clock.advance(SECOND)
        desk.add("b")
        drain = group.create_task(desk.accounts.drain())
        await desk.clock.advance(SECOND)
        assert not drain.done()
        desk.store.release()
        await drain
        assert desk.jobs == ["a", "b"]
    assert desk.store.batches == [1, 1]


async def test_at_the_end_nobody_waits_for_a_history_that_is_away() -> None:
    desk = Desk()
    desk.store.fault = Unavailable("no history is running")
    desk.add("a")
    await desk.accounts.drain()
    assert desk.accounts.waiting == 1


async def test_what_was_being_sent_when_the_loop_was_stopped_is_sent_at_the_end() -> None:
    desk = Desk()
    desk.store.is_held = True
    async with desk.open():
        desk.add("a", "b")
        await desk.clock.advance(SECOND)
    desk.store.is_held = False
    await desk.accounts.drain()
    assert desk.jobs == ["a", "b"]


async def test_decisions_are_counted_by_operation_and_outcome() -> None:
    labels = {"operation": "trigger", "outcome": "unreachable_allowed"}
    before = counted("chronos_scheduler_policy_decisions_total", **labels)
    desk = Desk()
    for _ in range(2):
        desk.accounts.add(
            PolicyDecision(operation=Policy.Operation.TRIGGER, outcome=PolicyDecision.Outcome.UNREACHABLE_ALLOWED)
        )
    assert counted("chronos_scheduler_policy_decisions_total", **labels) == before + 2


def test_ids_sort_by_time_down_to_the_microsecond() -> None:
    ids = [decision_id(NOW_US + us) for us in range(3_000)]
    assert ids == sorted(ids)
    parsed = [uuid.UUID(each) for each in ids]
    assert {(each.version, each.variant) for each in parsed} == {(7, uuid.RFC_4122)}
    assert [each.int >> 80 for each in parsed[::1_000]] == [NOW_US // 1_000 + each for each in range(3)]


def test_ids_of_one_moment_differ() -> None:
    assert len({decision_id(NOW_US) for _ in range(1_000)}) == 1_000


def test_a_decision_of_usual_size_is_kept_as_it_is() -> None:
    usual = denied(decision=Decision(violations=[RuleResult(message="m" * 1_000)]))
    assert shortened(usual) is usual


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (lambda value: value.list_value.extend(range(10_000)), "(a list of 10000)"),
        (lambda value: value.struct_value.update({str(n): n for n in range(10_000)}), "(a map of 10000)"),
        (lambda value: setattr(value, "string_value", "x" * 10_000), "x" * MOST_CHARACTERS + "..."),
        (lambda value: setattr(value, "number_value", 7), 7.0),
    ],
)
def test_a_large_decision_is_cut_to_what_tells_most(value: Callable[[Value], object], kept: str | float) -> None:
    def results(count: int) -> Sequence[RuleResult]:
        found = [RuleResult(policy_id="p", rule_id=str(n), message="m" * 5_000) for n in range(count)]
        for each in found:
            value(each.actual_value)
        return found

    large = denied(
        decision=Decision(violations=results(30), warnings=results(2), audited=results(1), allowed_by=results(1)[0])
    )
    short = shortened(large)
    assert [each.rule_id for each in short.decision.violations] == list(map(str, range(MOST_RESULTS)))
    for each in [*short.decision.violations, *short.decision.warnings, short.decision.allowed_by]:
        assert len(each.message) == MOST_CHARACTERS + 3
        assert (each.actual_value.string_value or each.actual_value.number_value) == kept
    assert len(large.decision.violations) == 30
    assert short.ByteSize() < 2 * USUAL_BYTES
