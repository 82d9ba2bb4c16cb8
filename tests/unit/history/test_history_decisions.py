"""The account of what policies decided: what is told, what callers ask for, pages, and retention."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from chronos.history.v1.policy_decision_pb2 import PolicyDecision
from chronos.history.v1.policy_decision_service_pb2 import ListPolicyDecisionsRequest
from chronos.policy.v1.decision_pb2 import Decision as DecisionMessage
from chronos.policy.v1.decision_pb2 import RuleResult
from chronos.policy.v1.policy_pb2 import Policy
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import REGISTRY

from libs.faults import InvalidArgument, Unavailable
from services.history.convert_decisions import decision_choice_from, decision_messages, decisions_from
from services.history.decisions import MOST_BYTES, Decisions
from services.history.domain.decisions import Decision, DecisionChoice, Outcome
from services.history.domain.moments import LAST_US, to_us
from services.history.ports import DecisionQuery
from services.history.retention import ROWS_A_STEP, Ages, Retention
from services.history.settings import HistorySettings
from services.history.write_health import WriteHealth
from tests.fakes.clock import FakeClock
from tests.fakes.history_records import execution_id
from tests.fakes.ledger import FakeLedger

ID = "0194265a-0000-7000-8000-00000000002a"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALL = DecisionChoice(namespace="default")
FULL = Unavailable("The disk is full.", reason="LEDGER_FULL")


class Account:
    """The use case over a ledger in memory."""

    def __init__(self) -> None:
        self.ledger = FakeLedger()
        self.health = WriteHealth(FakeClock())
        self.decisions = Decisions(self.ledger, self.ledger, self.health)

    async def pages(self, choice: DecisionChoice, page_size: int) -> list[list[int]]:
        pages, token = [], ""
        while True:
            page = await self.decisions.list(choice, page_size, token)
            pages.append([int.from_bytes(each.id, "big") for each in page.decisions])
            token = page.next_page_token
            if not token:
                return pages


@pytest.fixture
def account() -> Account:
    return Account()


def told(**facts: object) -> PolicyDecision:
    plain = PolicyDecision(id=ID, namespace="ops", job_id="report", outcome=PolicyDecision.Outcome.DENIED)
    plain.time.FromDatetime(NOON)
    plain.operation = Policy.Operation.RUN
    plain.MergeFrom(PolicyDecision(**facts))  # type: ignore[arg-type]
    return plain


def result(policy: str) -> RuleResult:
    return RuleResult(policy_id=policy, rule_id="r")


def decision(number: int, **changes: object) -> Decision:
    plain = Decision(execution_id(number), "default", "report", number, 5, int(Outcome.DENIED), ("freeze",), b"content")
    return plain._replace(**changes)  # type: ignore[arg-type]


def test_the_outcomes_are_those_of_the_proto() -> None:
    names = {name: number for name, number in PolicyDecision.Outcome.items() if number}
    assert {outcome.name: int(outcome) for outcome in Outcome} == names


def test_a_decision_is_kept_with_all_that_was_told() -> None:
    message = told(caller="key-1", policy_revision=7, execution_id=ID)
    message.decision.violations.append(result("freeze"))
    (kept,) = decisions_from([message])
    assert kept._replace(content=b"") == Decision(
        id=bytes.fromhex(ID.replace("-", "")),
        namespace="ops",
        job_id="report",
        time_us=to_us(NOON),
        operation=5,
        outcome=3,
        policy_ids=("freeze",),
        content=b"",
    )
    assert list(decision_messages([kept])) == [message]


def test_every_policy_that_had_something_to_say_is_told_once() -> None:
    said = DecisionMessage(
        violations=[result("a"), result("a")],
        warnings=[result("b"), result("")],
        audited=[result("c"), result("b")],
        allowed_by=result("d"),
    )
    assert decisions_from([told(decision=said)])[0].policy_ids == ("a", "b", "c", "d")


def test_without_a_namespace_it_is_of_the_default_one_and_ids_are_spelled_one_way() -> None:
    message = told()
    message.namespace, message.id = "", ID.upper()
    (kept,) = decisions_from([message])
    (shown,) = decision_messages([kept])
    assert (kept.namespace, shown.namespace, shown.id) == ("default", "default", ID)


def test_what_postgresql_cannot_store_is_replaced() -> None:
    (kept,) = decisions_from([told(job_id="a\0b", decision=DecisionMessage(violations=[result("c\0")]))])
    assert (kept.job_id, kept.policy_ids) == ("a\ufffdb", ("c\ufffd",))


@pytest.mark.parametrize(
    ("field", "value"), [("id", ""), ("id", "no uuid"), ("time", None), ("outcome", 0), ("outcome", 99)]
)
def test_one_that_can_never_be_taken_is_refused_with_its_place(field: str, value: object) -> None:
    wrong = told()
    wrong.ClearField(field)  # type: ignore[arg-type]
    if value:
        setattr(wrong, field, value)
    with pytest.raises(InvalidArgument, match=rf"decisions\[1\]\.{field}"):
        decisions_from([told(), wrong])


def test_a_choice_without_bounds_is_of_everything() -> None:
    assert decision_choice_from(ListPolicyDecisionsRequest()) == ALL


def test_a_choice_is_as_it_was_asked() -> None:
    asked = {
        "namespace": "ops",
        "job_id": "report",
        "policy_id": "freeze",
        "outcome": ["DENIED", "WARNED"],
        "operation": ["RUN"],
        "from": "2026-01-01T12:00:00Z",
        "to": "2026-01-01T12:00:00.000001500Z",
    }
    assert decision_choice_from(ParseDict(asked, ListPolicyDecisionsRequest())) == DecisionChoice(
        namespace="ops",
        job_id="report",
        policy_id="freeze",
        outcomes=frozenset({Outcome.DENIED, Outcome.WARNED}),
        operations=frozenset({5}),
        from_us=to_us(NOON),
        to_us=to_us(NOON) + 2,
    )


def test_a_choice_up_to_the_end_of_time_has_no_bound() -> None:
    request = ListPolicyDecisionsRequest(to=Timestamp(seconds=253_402_300_799, nanos=999_999_999))
    assert decision_choice_from(request).to_us == LAST_US + 1


async def test_pages_follow_each_other_without_gap_or_repeat(account: Account) -> None:
    await account.decisions.record([decision(n, time_us=n // 2) for n in range(1, 8)])
    assert await account.pages(ALL, 3) == [[7, 6, 5], [4, 3, 2], [1]]
    assert await account.pages(ALL, 7) == [[7, 6, 5, 4, 3, 2, 1]]
    assert await account.pages(DecisionChoice(namespace="ops"), 3) == [[]]


async def test_a_page_ends_before_it_weighs_too_much(account: Account) -> None:
    half = bytes(MOST_BYTES // 2)
    await account.decisions.record([decision(n, content=half) for n in range(1, 4)])
    await account.decisions.record([decision(4, content=bytes(2 * MOST_BYTES))])
    assert await account.pages(ALL, 50) == [[4], [3, 2], [1]]


@pytest.mark.parametrize(
    "other",
    [
        DecisionChoice(namespace="ops"),
        DecisionChoice(namespace="default", job_id="report"),
        DecisionChoice(namespace="default", policy_id="freeze"),
        DecisionChoice(namespace="default", outcomes=frozenset({3})),
        DecisionChoice(namespace="default", operations=frozenset({3})),
        DecisionChoice(namespace="default", to_us=9),
    ],
)
async def test_a_token_of_another_list_is_refused(account: Account, other: DecisionChoice) -> None:
    await account.decisions.record([decision(1), decision(2)])
    token = (await account.decisions.list(ALL, 1, "")).next_page_token
    with pytest.raises(InvalidArgument, match="another list"):
        await account.decisions.list(other, 1, token)


async def test_the_order_of_outcomes_makes_no_other_list(account: Account) -> None:
    await account.decisions.record([decision(1), decision(2)])
    both = [DecisionChoice(namespace="default", outcomes=frozenset(each)) for each in ([3, 2, 11], [11, 2, 3])]
    token = (await account.decisions.list(both[0], 1, "")).next_page_token
    assert len((await account.decisions.list(both[1], 1, token)).decisions) == 1


async def test_bounds_that_exclude_everything_are_refused(account: Account) -> None:
    with pytest.raises(InvalidArgument, match="must be after `from`"):
        await account.decisions.list(DecisionChoice(namespace="default", from_us=5, to_us=5), 1, "")


async def test_of_one_id_the_first_telling_stays_and_only_it_is_counted(account: Account) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("chronos_history_policy_decision_total", {"outcome": "warned"}) or 0.0

    before, warned = counted(), int(Outcome.WARNED)
    twice = [decision(1, outcome=warned), decision(1, outcome=warned, content=b"another")]
    for _ in range(2):
        await account.decisions.record(twice)
    page = await account.decisions.list(ALL, 9, "")
    assert [each.content for each in page.decisions] == [b"content"]
    assert counted() == before + 1


async def test_nothing_to_record_writes_nothing(account: Account) -> None:
    account.ledger.fault = FULL
    await account.decisions.record([])
    assert account.health.is_good


async def test_a_full_disk_is_noticed_and_its_end_too(account: Account) -> None:
    account.ledger.fault = FULL
    with pytest.raises(Unavailable):
        await account.decisions.record([decision(1)])
    assert not account.health.is_good
    account.ledger.fault = None
    await account.decisions.record([decision(1)])
    assert account.health.is_good


@pytest.mark.parametrize(("age", "left"), [(3 * DAY, {1, 2}), (DAY, {2}), (timedelta(0), {1, 2, 3})])
async def test_decisions_go_once_they_are_too_old(age: timedelta, left: set[int]) -> None:
    clock, ledger = FakeClock(), FakeLedger()
    ages = {1: 2 * DAY, 2: timedelta(hours=1), 3: 9 * DAY}
    times = {n: to_us(clock.now() - each) for n, each in ages.items()}
    many = (decision(n, time_us=times[3], namespace="ops") for n in range(10, 10 + 2 * ROWS_A_STEP))
    await ledger.record_decisions([*(decision(n, time_us=time_us) for n, time_us in times.items()), *many])
    retention = Retention(
        ledger, ledger, WriteHealth(clock), clock, ages=Ages(decisions=age), interval=timedelta(minutes=1)
    )
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(retention.run())
        await clock.advance(timedelta(minutes=1, seconds=1))
        loop.cancel()
    found = await ledger.decisions(DecisionQuery(choice=ALL, limit=9))
    assert {int.from_bytes(each.id, "big") for each in found} == left
    others = await ledger.decisions(DecisionQuery(choice=DecisionChoice(namespace="ops"), limit=5_000))
    assert len(others) == (0 if age else 2 * ROWS_A_STEP)


def test_decisions_are_kept_for_90_days_unless_told_otherwise() -> None:
    assert HistorySettings().decision_retention == 90 * DAY
