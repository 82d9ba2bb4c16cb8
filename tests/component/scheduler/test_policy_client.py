"""The scheduler's calls to policy while its replicas come, go, hang and lag behind, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from chronos.policy.v1 import decision_pb2, decision_service_pb2, decision_service_pb2_grpc, policy_pb2

from libs.clock import SystemClock
from libs.faults import InvalidArgument, Unavailable
from libs.rpc.channel import open_channel
from libs.rpc.server import RpcServer
from services.scheduler.adapters.policy_client import PolicyClient
from tests.fakes.members import members_at
from tests.fakes.policies import FakePolicyBook

TOKEN = "mesh"
Policy = policy_pb2.Policy
QUESTION = decision_service_pb2.Question(operation=Policy.CREATE, namespace="default")


class Service(decision_service_pb2_grpc.DecisionServiceServicer):
    """Allows everything, at a revision; hangs until it may answer."""

    def __init__(self, revision: int = 7) -> None:
        self.revision = revision
        self.calls = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.catches_up_after = 0

    async def Decide(self, request: decision_service_pb2.DecideRequest, context: Any) -> Any:
        self.calls += 1
        await self.may_answer.wait()
        if request.HasField("draft"):
            raise InvalidArgument.of("draft.rules[0]", "means nothing")
        if self.catches_up_after and self.calls > self.catches_up_after:
            self.revision = 7
        answer = decision_service_pb2.Answer(decision=decision_pb2.Decision(allowed=True))
        return decision_service_pb2.DecideResponse(answers=[answer] * len(request.questions), revision=self.revision)


@asynccontextmanager
async def serve(service: Service) -> AsyncIterator[str]:
    entry = (
        decision_service_pb2_grpc.add_DecisionServiceServicer_to_server,
        service,
        "chronos.policy.v1.DecisionService",
    )
    server = RpcServer("127.0.0.1:0", [entry], authenticator=None, clock=SystemClock(), mesh_token=TOKEN)
    yield await server.start()
    await server.drain(timedelta(0))


@asynccontextmanager
async def client_of(*addresses: str) -> AsyncIterator[PolicyClient]:
    client = PolicyClient(
        members_at(*addresses), lambda address: open_channel(address, mesh_token=TOKEN), FakePolicyBook(), SystemClock()
    )
    yield client
    await client.close()


async def test_each_question_is_answered() -> None:
    async with serve(Service(revision=8)) as address, client_of(address) as client:
        decided = await client.decide([QUESTION] * 3)
    assert len(decided.answers) == 3
    assert decided.answers[0].decision.allowed
    assert decided.revision == 8


async def test_a_replica_that_is_gone_is_passed_over() -> None:
    async with serve(Service()) as gone:
        pass
    service = Service()
    async with serve(service) as address, client_of(gone, address) as client:
        for _ in range(8):
            await client.decide([QUESTION])
    assert service.calls == 8


async def test_a_replica_that_hangs_is_passed_over_in_time() -> None:
    hung, service = Service(), Service()
    hung.may_answer.clear()
    async with serve(hung) as first, serve(service) as second, client_of(first, second) as client:
        async with asyncio.timeout(8):
            while not hung.calls:
                await client.decide([QUESTION])
        assert service.calls
        hung.may_answer.set()


async def test_a_replica_that_lags_behind_is_asked_again() -> None:
    service = Service(revision=3)
    service.catches_up_after = 3
    async with serve(service) as address, client_of(address) as client:
        assert (await client.decide([QUESTION])).revision == 7
    assert service.calls == 4


async def test_an_old_answer_is_none() -> None:
    async with serve(Service(revision=6)) as address, client_of(address) as client:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable, match="newest policies"):
                await client.decide([QUESTION])


async def test_nobody_is_there() -> None:
    async with client_of() as client:
        with pytest.raises(Unavailable, match="no policy service"):
            await client.decide([QUESTION])


async def test_the_faults_of_a_draft_come_back() -> None:
    async with serve(Service()) as address, client_of(address) as client:
        with pytest.raises(InvalidArgument) as caught:
            await client.decide([QUESTION], draft=Policy(name="x"))
    assert caught.value.violations[0].field.startswith("draft")
