"""The whole service over real gRPC, with etcd in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest
from chronos.cluster.v1.cluster_pb2 import Member
from chronos.policy.v1 import decision_service_pb2, policy_pb2, policy_service_pb2
from chronos.policy.v1.decision_service_pb2_grpc import DecisionServiceStub
from chronos.policy.v1.policy_service_pb2_grpc import PolicyServiceStub
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from libs.clock import SystemClock
from libs.etcd import keys
from libs.etcd.api_keys import EtcdKeyDirectory, store_key
from libs.etcd.lease import Lease
from libs.etcd.membership import Membership
from libs.etcd.values import Snapshot
from libs.faults import AlreadyExists, Fault, Forbidden, InvalidArgument, NotFound, Stale
from libs.mesh import Node
from libs.metrics import stop_serving
from libs.process import App
from libs.rpc.channel import fault_from, open_channel
from libs.rpc.credentials import new_key
from libs.settings import ServiceSettings
from services.policy.app import open_app
from services.policy.settings import PolicySettings
from tests.fakes.etcd import FakeEtcd

MESH_TOKEN = "a secret of the mesh"
EVERYTHING = ["policy:*"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running service, and a channel to it from within the mesh."""

    etcd: FakeEtcd
    channel: grpc.aio.Channel
    key: str

    async def call(self, name: str, request: Message, key: str | None = None) -> Message:
        method = getattr(PolicyServiceStub(self.channel), name)
        try:
            answer: Message = await method(request, metadata=(("x-api-key", self.key if key is None else key),))
        except grpc.aio.AioRpcError as error:
            raise fault_from(error) from error
        return answer

    async def add_key(self, permissions: list[str], namespaces: list[str]) -> str:
        text, stored = new_key("limited", permissions, namespaces, SystemClock())
        await store_key(self.etcd, stored)
        return text

    async def decided(self, revision: int) -> decision_service_pb2.DecideResponse:
        """What policies say to a job without tags, once those up to a revision judge."""
        question = decision_service_pb2.Question(operation=policy_pb2.Policy.CREATE, namespace="default")
        question.job["name"] = "nightly"
        async with asyncio.timeout(10):
            while True:
                answer = await self.ask(question)
                if answer is not None and answer.revision >= revision:
                    return answer
                await asyncio.sleep(0.01)

    async def ask(self, question: decision_service_pb2.Question) -> decision_service_pb2.DecideResponse | None:
        """The answer, or None while the service has not read the policies."""
        try:
            return await DecisionServiceStub(self.channel).Decide(
                decision_service_pb2.DecideRequest(questions=[question])
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return None


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    etcd = FakeEtcd()
    text, stored = new_key("admin", EVERYTHING, ["*"], SystemClock())
    await store_key(etcd, stored)

    @asynccontextmanager
    async def enter(service: str, settings: ServiceSettings) -> AsyncIterator[Node]:
        clock, member = SystemClock(), Member(service=service, instance="p1", replica="p1")
        lease = Lease(etcd, settings.lease_ttl, clock)
        directory, membership = EtcdKeyDirectory(etcd), Membership(etcd, lease, member, clock)
        yield Node(
            settings=settings, clock=clock, etcd=etcd, lease=lease, keys=directory, member=member, membership=membership
        )
        nodes.append(member)

    nodes: list[Member] = []
    async with open_app(PolicySettings(mesh_token=MESH_TOKEN), enter) as app, asyncio.TaskGroup() as group:  # type: ignore[arg-type]
        await app.start()
        loops = [group.create_task(run(app, name)) for name in ("lease", "membership", "api keys", "policies")]
        address = await announced(etcd)
        async with open_channel(address, mesh_token=MESH_TOKEN) as channel:
            served = Served(etcd=etcd, channel=channel, key=text)
            await served.decided(1)
            yield served
        await app.drain()
        await stop_serving()
        for loop in loops:
            loop.cancel()


async def run(app: App, loop: str) -> None:
    await app.loops[loop]()


async def announced(etcd: FakeEtcd) -> str:
    """The address that the service gives as a member."""
    async with asyncio.timeout(10):
        async with aclosing(etcd.follow(keys.members_of("policy"))) as updates:
            async for update in updates:
                for item in update.items if isinstance(update, Snapshot) else update.events:
                    return Member.FromString(item.value).address
    raise AssertionError("the service is no member")


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


def wish(name: str = "Team", **fields: object) -> policy_pb2.Policy:
    rules = [{"name": "team", "condition": {"field": "tags.team", "operator": "exists"}}]
    return ParseDict({"name": name, "rules": rules, **fields}, policy_pb2.Policy())


def create(policy: policy_pb2.Policy, *, validate_only: bool = False) -> policy_service_pb2.CreatePolicyRequest:
    return policy_service_pb2.CreatePolicyRequest(policy=policy, validate_only=validate_only)


async def test_a_policy_is_created_judges_is_changed_and_goes(served: Served) -> None:
    created = await served.call("CreatePolicy", create(wish()))
    assert isinstance(created, policy_pb2.Policy)
    answer = await served.decided(int(created.etag))
    assert [found.rule_id for found in answer.answers[0].decision.violations] == ["team"]
    assert answer.answers[0].is_lasting

    off = await served.call("DisablePolicy", policy_service_pb2.DisablePolicyRequest(id="team"))
    assert isinstance(off, policy_pb2.Policy)
    assert (await served.decided(int(off.etag))).answers[0].decision.allowed
    on = await served.call("EnablePolicy", policy_service_pb2.EnablePolicyRequest(id="team"))
    replaced = await served.call("ReplacePolicy", policy_service_pb2.ReplacePolicyRequest(id="team", policy=wish("T")))
    back = await served.call("RollbackPolicy", policy_service_pb2.RollbackPolicyRequest(id="team", version=1))
    assert isinstance(on, policy_pb2.Policy)
    assert isinstance(replaced, policy_pb2.Policy)
    assert isinstance(back, policy_pb2.Policy)
    assert [on.version, replaced.version, back.version] == [3, 4, 5]
    assert (replaced.name, back.name) == ("T", "Team")
    versions = await served.call("ListPolicyVersions", policy_service_pb2.ListPolicyVersionsRequest(id="team"))
    assert isinstance(versions, policy_service_pb2.ListPolicyVersionsResponse)
    assert [found.version for found in versions.versions] == [5, 4, 3, 2, 1]

    await served.call("DeletePolicy", policy_service_pb2.DeletePolicyRequest(id="team", etag=back.etag))
    assert (await served.decided(int(back.etag) + 1)).answers[0].decision.allowed
    with pytest.raises(NotFound):
        await served.call("GetPolicy", policy_service_pb2.GetPolicyRequest(id="team"))


async def test_what_is_shipped_is_there_from_the_start(served: Served) -> None:
    listed = await served.call("ListPolicies", policy_service_pb2.ListPoliciesRequest())
    assert isinstance(listed, policy_service_pb2.ListPoliciesResponse)
    assert len(listed.policies) == 12
    assert {policy.updated_by for policy in listed.policies} == {"chronos"}
    assert listed.next_page_token == ""


async def test_faults_name_the_fields_as_rest_shows_them(served: Served) -> None:
    bad = wish()
    bad.rules[0].condition.operator = "sounds_like"
    with pytest.raises(InvalidArgument) as meaning:
        await served.call("CreatePolicy", create(bad))
    assert [found.field for found in meaning.value.violations] == ["rules[0].condition.operator"]
    with pytest.raises(InvalidArgument) as shape:
        await served.call("CreatePolicy", create(wish(priority=5000)))
    assert [found.field for found in shape.value.violations] == ["priority"]


async def test_faults_come_as_what_they_are(served: Served) -> None:
    created = await served.call("CreatePolicy", create(wish()))
    assert isinstance(created, policy_pb2.Policy)
    with pytest.raises(AlreadyExists):
        await served.call("CreatePolicy", create(wish(), validate_only=True))
    await served.call("ReplacePolicy", policy_service_pb2.ReplacePolicyRequest(id="team", policy=wish(priority=1)))
    stale = policy_service_pb2.ReplacePolicyRequest(id="team", policy=wish(etag=created.etag))
    with pytest.raises(Stale):
        await served.call("ReplacePolicy", stale)


CALLS: list[tuple[str, Message]] = [
    ("CreatePolicy", create(wish("Other"))),
    ("GetPolicy", policy_service_pb2.GetPolicyRequest(id="builtin-https-only")),
    ("ListPolicies", policy_service_pb2.ListPoliciesRequest()),
    ("ReplacePolicy", policy_service_pb2.ReplacePolicyRequest(id="builtin-https-only", policy=wish("Other"))),
    ("DeletePolicy", policy_service_pb2.DeletePolicyRequest(id="builtin-https-only")),
    ("EnablePolicy", policy_service_pb2.EnablePolicyRequest(id="builtin-https-only")),
    ("DisablePolicy", policy_service_pb2.DisablePolicyRequest(id="builtin-https-only")),
    ("ListPolicyVersions", policy_service_pb2.ListPolicyVersionsRequest(id="builtin-https-only")),
    ("RollbackPolicy", policy_service_pb2.RollbackPolicyRequest(id="builtin-https-only", version=1)),
]


def test_every_call_is_among_those_that_are_checked_for_their_key() -> None:
    service = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]
    assert {name for name, _ in CALLS} == {method.name for method in service.methods}


@pytest.mark.parametrize(("name", "request_"), CALLS, ids=lambda part: part if isinstance(part, str) else "")
async def test_a_key_for_some_namespaces_has_no_say_in_what_holds_for_all(
    served: Served, name: str, request_: Message
) -> None:
    before = (await served.etcd.list_prefix(keys.POLICIES)).items
    limited = await served.add_key(EVERYTHING, ["default", "team-a"])
    whole = await served.add_key(["policy:read"], ["*"])
    await known(served, limited, whole)
    with pytest.raises(Forbidden) as caught:
        await served.call(name, request_, key=limited)
    assert caught.value.reason == "NAMESPACE_FORBIDDEN"
    assert (await served.etcd.list_prefix(keys.POLICIES)).items == before


async def known(served: Served, *presented: str) -> None:
    """Waits until the service knows the keys."""
    async with asyncio.timeout(10):
        for key in presented:
            while True:
                try:
                    await served.call("GetPolicy", policy_service_pb2.GetPolicyRequest(id="none"), key=key)
                except Fault as fault:
                    if fault.code != "UNAUTHENTICATED":
                        break
                await asyncio.sleep(0.01)


async def test_the_mesh_alone_may_ask_for_decisions(served: Served) -> None:
    async with open_channel(await announced(served.etcd)) as outside:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await DecisionServiceStub(outside).Decide(
                decision_service_pb2.DecideRequest(), metadata=(("x-api-key", served.key),)
            )
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_question_about_nothing_is_refused(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.ask(decision_service_pb2.Question())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
