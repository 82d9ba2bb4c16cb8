"""The account of decisions over a real server: recorded by schedulers, listed by callers with a key."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from chronos.history.v1 import policy_decision_service_pb2 as pb
from chronos.history.v1.policy_decision_pb2 import PolicyDecision
from chronos.history.v1.policy_decision_service_pb2_grpc import PolicyDecisionServiceStub
from chronos.policy.v1.decision_pb2 import Decision, RuleResult
from chronos.policy.v1.policy_pb2 import Policy

from libs.clock import SystemClock
from libs.faults import Fault, Forbidden, InvalidArgument, Unavailable
from libs.rpc.channel import fault_from, open_channel
from services.history.app import open_store
from services.history.settings import HistorySettings
from services.scheduler.adapters.policy_decisions import HistoryDecisions
from services.scheduler.ports.decisions import DecisionStore
from tests.component.history.messages import id_of
from tests.component.history.serving import MESH_TOKEN, Served, serving
from tests.component.history.test_history_search_client import members
from tests.fakes.decisions import FakeDecisionStore

if TYPE_CHECKING:
    from chronos.history.v1.policy_decision_service_pb2_grpc import PolicyDecisionServiceAsyncStub

START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_S = 10
READ = ("policy:read",)


def told(number: int, *policies: str, namespace: str = "default", **facts: object) -> PolicyDecision:
    """A run that was denied by policies, `number` seconds after START."""
    decision = PolicyDecision(
        id=id_of(number),
        namespace=namespace,
        job_id="report",
        operation=Policy.Operation.RUN,
        outcome=PolicyDecision.Outcome.DENIED,
        decision=Decision(violations=[RuleResult(policy_id=each, rule_id="r", message="no") for each in policies]),
        policy_revision=7,
    )
    decision.time.FromDatetime(START + timedelta(seconds=number))
    decision.MergeFrom(PolicyDecision(**facts))  # type: ignore[arg-type]
    return decision


class Account:
    """A history, a scheduler that records in it, and a caller who looks."""

    def __init__(self, served: Served, store: HistoryDecisions, stub: "PolicyDecisionServiceAsyncStub") -> None:
        self.served = served
        self.store = store
        self.stub = stub

    async def listed(self, **choice: object) -> pb.ListPolicyDecisionsResponse:
        request = pb.ListPolicyDecisionsRequest(**choice)  # type: ignore[arg-type]
        return await self.stub.ListPolicyDecisions(request, metadata=self.served.metadata, timeout=PATIENCE_S)

    async def ids(self, **choice: object) -> list[str]:
        return [decision.id for decision in (await self.listed(**choice)).decisions]


@asynccontextmanager
async def history(directory: Path, permissions: tuple[str, ...] = READ) -> AsyncIterator[Account]:
    settings = HistorySettings(data_dir=directory)
    async with (
        open_store(settings, SystemClock()) as pair,
        serving(*pair, settings=settings, permissions=permissions) as served,
        open_channel(served.address) as channel,
    ):
        store = HistoryDecisions(members(served.address), lambda address: open_channel(address, mesh_token=MESH_TOKEN))
        try:
            yield Account(served, store, PolicyDecisionServiceStub(channel))
        finally:
            await store.close()


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    async with history(tmp_path) as account:
        await account.store.record([
            told(1, "freeze"),
            told(2, "freeze", "naming", job_id="other", operation=Policy.Operation.CREATE),
            told(3, "naming", outcome=PolicyDecision.Outcome.WARNED),
            told(4, "freeze", namespace="ops"),
        ])  # fmt: skip
        yield account


@pytest.fixture(params=["fake", "history"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DecisionStore]:
    if request.param == "fake":
        fake = FakeDecisionStore()
        fake.invalid = {"invalid"}
        yield fake
        return
    async with history(tmp_path) as account:
        yield account.store


async def fault_of(call: Awaitable[object]) -> Fault:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return fault_from(caught.value)


async def test_recording_again_changes_nothing_and_raises_nothing(store: DecisionStore) -> None:
    await store.record([told(1)])
    await store.record([told(1), told(2)])
    await store.record([])


async def test_what_can_never_be_taken_is_refused(store: DecisionStore) -> None:
    wrong = told(1, job_id="invalid")
    wrong.ClearField("time")
    with pytest.raises(InvalidArgument):
        await store.record([told(2), wrong])


async def test_a_history_that_is_not_there_is_unavailable() -> None:
    store = HistoryDecisions(members(), lambda address: open_channel(address, mesh_token=MESH_TOKEN))
    with pytest.raises(Unavailable):
        await store.record([told(1)])


async def test_decisions_are_listed_newest_first_as_they_were_told(account: Account) -> None:
    page = await account.listed()
    assert [decision.id for decision in page.decisions] == [id_of(n) for n in (3, 2, 1)]
    assert page.decisions[2] == told(1, "freeze")
    assert page.next_page_token == ""
    assert await account.ids(namespace="ops") == [id_of(4)]


async def test_decisions_can_be_chosen(account: Account) -> None:
    assert await account.ids(policy_id="freeze") == [id_of(2), id_of(1)]
    assert await account.ids(job_id="report") == [id_of(3), id_of(1)]
    assert await account.ids(outcome=[PolicyDecision.Outcome.WARNED]) == [id_of(3)]
    assert await account.ids(operation=[Policy.Operation.CREATE, Policy.Operation.RUN]) == [id_of(n) for n in (3, 2, 1)]
    assert await account.ids(**{"from": told(2).time, "to": told(3).time}) == [id_of(2)]


async def test_pages_follow_each_other_and_know_their_list(account: Account) -> None:
    first = await account.listed(page_size=2)
    assert [each.id for each in first.decisions] == [id_of(3), id_of(2)]
    assert await account.ids(page_size=2, page_token=first.next_page_token) == [id_of(1)]
    with pytest.raises(InvalidArgument, match="another list"):
        raise await fault_of(account.listed(page_size=2, job_id="report", page_token=first.next_page_token))


async def test_a_decision_recorded_twice_is_there_once(account: Account) -> None:
    await account.store.record([told(1, "naming"), told(5, "freeze")])
    assert await account.ids() == [id_of(n) for n in (5, 3, 2, 1)]
    assert await account.ids(policy_id="naming") == [id_of(3), id_of(2)]


async def test_a_thousand_decisions_go_at_once_and_no_more(account: Account) -> None:
    await account.store.record([told(n) for n in range(100, 1_100)])
    assert len((await account.listed(page_size=1_000)).decisions) == 1_000
    with pytest.raises(InvalidArgument):
        await account.store.record([told(n) for n in range(1_001)])


async def test_a_key_without_the_permission_sees_nothing(tmp_path: Path) -> None:
    async with history(tmp_path, ("execution:read",)) as account:
        assert isinstance(await fault_of(account.listed()), Forbidden)


async def test_a_key_of_other_namespaces_sees_nothing(account: Account) -> None:
    assert isinstance(await fault_of(account.listed(namespace="elsewhere")), Forbidden)


async def test_only_services_of_the_mesh_record(account: Account) -> None:
    request = pb.RecordPolicyDecisionsRequest(decisions=[told(9)])
    call = account.stub.RecordPolicyDecisions(request, metadata=account.served.metadata, timeout=PATIENCE_S)
    assert isinstance(await fault_of(call), Forbidden)
    assert id_of(9) not in await account.ids()
