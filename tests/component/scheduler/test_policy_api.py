"""The scheduler's API with its real wiring, and a policy service that judges, over an etcd in memory and real gRPC."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from chronos.cluster.v1.cluster_pb2 import Member
from chronos.policy.v1 import decision_pb2, policy_pb2
from chronos.policy.v1.decision_service_pb2_grpc import add_DecisionServiceServicer_to_server
from chronos.scheduler.v1 import job_pb2, job_service_pb2, policy_trial_service_pb2, target_pb2
from chronos.scheduler.v1.job_service_pb2_grpc import JobServiceStub
from chronos.scheduler.v1.policy_trial_service_pb2_grpc import PolicyTrialServiceStub

from libs.clock import SystemClock
from libs.etcd import keys
from libs.etcd.api_keys import EtcdKeyDirectory, store_key
from libs.etcd.lease import Lease
from libs.etcd.membership import Membership
from libs.faults import Fault, InvalidArgument, Refused, Unavailable
from libs.mesh import Node
from libs.rpc.auth import new_key
from libs.rpc.channel import fault_from, open_channel
from libs.rpc.server import RpcServer
from services.policy.adapters.etcd_policies import EtcdPolicyStore
from services.policy.adapters.policy_book import EtcdPolicyBook
from services.policy.decisions import Decisions
from services.policy.policies import Policies
from services.policy.servicer import DecisionServicer
from services.scheduler.app.api import build_api
from services.scheduler.app.policies import open_policies
from services.scheduler.app.stores import Stores, open_stores
from services.scheduler.settings import SchedulerSettings
from tests.eventually import eventually
from tests.fakes.etcd import FakeEtcd
from tests.fakes.policies import FakeLoads
from tests.fakes.scheduler import FakeLedger

TOKEN = "mesh"
Policy = policy_pb2.Policy
Condition = policy_pb2.Condition
CreateJob = job_service_pb2.CreateJobRequest
DryRun = policy_trial_service_pb2.DryRunPolicyRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A scheduler's API, and the policies of its cluster."""

    jobs: Any
    trials: Any
    policies: Policies
    stores: Stores
    metadata: tuple[tuple[str, str], ...]
    etcd: FakeEtcd

    async def add(self, **fields: Any) -> None:
        """Stores a policy, and waits until the scheduler has heard of it; the policy service may lag behind."""
        seen = self.stores.policy_book.revision
        await self.policies.create(policy(**fields), validate_only=False, author="k")
        await eventually(lambda: self.stores.policy_book.revision > seen)

    async def create(self, name: str, url: str, *, validate_only: bool = False) -> tuple[job_pb2.Job, dict[str, Any]]:
        """The job, and the metadata that came with it."""
        job = job_pb2.Job(name=name, schedule="*/10 * * * * *", webhook=target_pb2.WebhookTarget(url=url))
        request = CreateJob(job=job, validate_only=validate_only)
        call = self.jobs.CreateJob(request, metadata=self.metadata)
        answer = await call
        return answer, dict(await call.initial_metadata())


def policy(name: str = "HTTPS only", field: str = "webhook.url", **fields: Any) -> Policy:
    """A policy that wants the field of jobs to begin with `https://`, or has the condition that is given."""
    condition = Condition(field=field, operator="starts_with")
    condition.value.string_value = "https://"
    condition = fields.pop("condition", condition)
    rule = policy_pb2.Rule(name="https", condition=condition, message="use https")
    return Policy(name=name, rules=[rule], **fields)


def node_of(etcd: FakeEtcd) -> Node:
    settings = SchedulerSettings(replica="scheduler-0", mesh_token=TOKEN, _env_file=None)  # type: ignore[call-arg, arg-type]
    clock = SystemClock()
    lease = Lease(etcd, settings.lease_ttl, clock)
    member = Member(service="scheduler", instance="s1", replica="s1")
    return Node(
        settings=settings, clock=clock, etcd=etcd, lease=lease, keys=EtcdKeyDirectory(etcd), member=member,
        membership=Membership(etcd, lease, member, clock),
    )  # fmt: skip


@asynccontextmanager
async def policy_service(etcd: FakeEtcd) -> AsyncIterator[None]:
    clock = SystemClock()
    book = EtcdPolicyBook(etcd)
    servicer = DecisionServicer(Decisions(book, clock, slice_length=timedelta(milliseconds=5)))
    entry = (add_DecisionServiceServicer_to_server, servicer, "chronos.policy.v1.DecisionService")
    server = RpcServer("127.0.0.1:0", [entry], authenticator=None, clock=clock, mesh_token=TOKEN)
    following = asyncio.ensure_future(book.run())
    member = Member(service="policy", instance="p1", replica="policy-0", address=await server.start())
    await etcd.put(keys.member("policy", "p1"), member.SerializeToString())
    yield
    following.cancel()
    await server.drain(timedelta(0))


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    async with AsyncExitStack() as stack:
        etcd = FakeEtcd(SystemClock())
        await stack.enter_async_context(policy_service(etcd))
        node = node_of(etcd)
        text, stored = new_key("admin", ["*"], ["*"], node.clock)
        await store_key(etcd, stored)
        stores = open_stores(node, 2)
        parts = open_policies(node, SchedulerSettings(), stores, node.watch("history"))
        server = node.server(build_api(stores, FakeLedger(), Any, parts, FakeLoads(), node.clock))  # type: ignore[arg-type]
        loops = [*stores.loops.values(), *parts.loops.values(), node.keys.run]
        tasks = [asyncio.ensure_future(loop()) for loop in loops]
        await stores.ready()
        await eventually(lambda: node.keys.is_ready)
        channel = await stack.enter_async_context(open_channel(await server.start()))
        yield Side(
            jobs=JobServiceStub(channel),
            trials=PolicyTrialServiceStub(channel),
            policies=Policies(EtcdPolicyStore(etcd), node.clock, max_policies=1_000),
            stores=stores,
            metadata=(("x-api-key", text),),
            etcd=etcd,
        )
        for task in tasks:
            task.cancel()
        await server.drain(timedelta(0))
        await parts.client.close()


async def fault_of(call: Awaitable[object]) -> Fault:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return fault_from(error)
    raise AssertionError("the call succeeded")


async def test_a_policy_refuses_a_job_and_says_which_rule_and_what_stood_there(side: Side) -> None:
    await side.create("before", "http://a.example/x")
    await side.add()
    fault = await fault_of(side.create("after", "http://a.example/x"))
    assert isinstance(fault, Refused)
    assert fault.reason == "POLICY_VIOLATION"
    assert fault.message == "refused by policy https-only/https: use https"
    assert [one.field for one in fault.violations] == ["webhook.url"]
    [violation] = decision_pb2.Decision.FromString(fault.decision).violations
    assert (violation.rule_id, violation.actual_value.string_value) == ("https", "http://a.example/x")
    created, _ = await side.create("secure", "https://a.example/x")
    assert created.id == "secure"
    assert await side.stores.jobs.get("default", "after") is None


async def test_warnings_come_beside_the_answer(side: Side) -> None:
    await side.add(action=Policy.WARN)
    for validate_only in (True, False):
        _, metadata = await side.create("warned", "http://a.example/x", validate_only=validate_only)
        assert json.loads(metadata["chronos-policy-warnings"]) == ["https-only/https: use https"]
    _, metadata = await side.create("secure", "https://a.example/x")
    assert "chronos-policy-warnings" not in metadata


async def test_rules_see_the_real_schedule_and_where_the_target_is(side: Side) -> None:
    often = Condition(expression="timing.shortest_interval_seconds >= 60 && timing.runs_per_day <= 1440")
    await side.add(name="Often", condition=often, action=Policy.WARN)
    inside = Condition(field="endpoint.is_private", operator="equals")
    inside.value.bool_value = False
    await side.add(name="Inside", condition=inside)
    fault = await fault_of(side.create("inside", "http://127.0.0.1:9/x"))
    assert "inside/https" in fault.message
    _, metadata = await side.create("outside", "http://8.8.8.8/x")
    assert json.loads(metadata["chronos-policy-warnings"]) == ["often/https: use https"]


async def test_a_dry_run_and_an_evaluation_say_what_a_draft_would_refuse(side: Side) -> None:
    await side.create("good", "https://a.example/x")
    await side.create("bad", "http://a.example/x")
    answer = await side.trials.DryRunPolicy(DryRun(policy=policy()), metadata=side.metadata)
    assert [hit.job_id for hit in answer.denied] == ["bad"]
    assert (answer.jobs, answer.unaffected_count) == (2, 1)
    await side.add(enabled=False)
    stored = await side.trials.DryRunPolicy(DryRun(id="https-only"), metadata=side.metadata)
    assert [hit.job_id for hit in stored.denied] == ["bad"]
    job = job_pb2.Job(name="x", schedule="0 3 * * *", webhook=target_pb2.WebhookTarget(url="http://a.example/"))
    trial = policy_trial_service_pb2.EvaluatePoliciesRequest(job=job, policy=policy())
    assert not (await side.trials.EvaluatePolicies(trial, metadata=side.metadata)).allowed


async def test_the_faults_of_a_draft_have_their_paths(side: Side) -> None:
    await side.create("one", "https://a.example/x")
    wrong = policy(condition=Condition(field="webhook.url", operator="resembles"))
    fault = await fault_of(side.trials.DryRunPolicy(DryRun(policy=wrong), metadata=side.metadata))
    assert isinstance(fault, InvalidArgument)
    assert fault.violations[0].field == "policy.rules[0].condition.operator"


async def test_without_the_policy_service_nothing_is_created_that_a_policy_applies_to(side: Side) -> None:
    await side.add(namespaces=["team"])
    await side.etcd.delete(keys.member("policy", "p1"))
    await side.create("elsewhere", "http://a.example/x")
    job = job_pb2.Job(
        name="judged",
        namespace="team",
        schedule="0 3 * * *",
        webhook=target_pb2.WebhookTarget(url="https://a.example/"),
    )

    async with asyncio.timeout(10):
        while not isinstance(fault := await attempt_or_none(side, job), Unavailable):
            pass
    assert fault.reason == "POLICIES_UNREACHABLE"


async def attempt_or_none(side: Side, job: job_pb2.Job) -> Fault | None:
    """The fault of a check, None when it went well."""
    try:
        await side.jobs.CreateJob(CreateJob(job=job, validate_only=True), metadata=side.metadata)
    except grpc.aio.AioRpcError as error:
        return fault_from(error)
    return None
