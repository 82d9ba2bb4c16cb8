"""Wires policy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chronos.policy.v1.decision_service_pb2_grpc import add_DecisionServiceServicer_to_server
from chronos.policy.v1.policy_service_pb2_grpc import add_PolicyServiceServicer_to_server

from libs.mesh import OpenNode, open_node
from libs.process import App
from services.policy.adapters.etcd_policies import EtcdPolicyStore
from services.policy.adapters.policy_book import EtcdPolicyBook
from services.policy.adapters.shipped_files import shipped_policies
from services.policy.decisions import Decisions
from services.policy.policies import Policies
from services.policy.servicer import DecisionServicer, PolicyServicer
from services.policy.settings import PolicySettings
from services.policy.shipped import ship

POLICY_SERVICE = "chronos.policy.v1.PolicyService"
DECISION_SERVICE = "chronos.policy.v1.DecisionService"


@asynccontextmanager
async def open_app(settings: PolicySettings, enter: OpenNode = open_node) -> AsyncIterator[App]:
    """Policy, ready to start: what is shipped is stored."""
    async with enter("policy", settings) as node:
        policies = Policies(EtcdPolicyStore(node.etcd), node.clock, max_policies=settings.max_policies)
        book = EtcdPolicyBook(node.etcd)
        decisions = Decisions(book, node.clock, slice_length=settings.judging_slice)
        await ship(shipped_policies(), policies, node.clock)
        server = node.server([
            (add_PolicyServiceServicer_to_server, PolicyServicer(policies), POLICY_SERVICE),
            (add_DecisionServiceServicer_to_server, DecisionServicer(decisions), DECISION_SERVICE),
        ])  # fmt: skip

        async def drain() -> None:
            await node.membership.withdraw()
            await server.drain(settings.drain_timeout / 2)

        yield App(start=lambda: node.start(server), loops={**node.loops, "policies": book.run}, drain=drain)
