"""A real server with tiny servicers of the real contract, and a client, in one loop."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from chronos.dispatcher.v1 import delivery_service_pb2, delivery_service_pb2_grpc
from chronos.history.v1 import execution_service_pb2, execution_service_pb2_grpc
from chronos.scheduler.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc, target_pb2

from libs.clock import SystemClock
from libs.faults import Fault
from libs.rpc import context
from libs.rpc.auth import Authenticator
from libs.rpc.channel import open_channel
from libs.rpc.credentials import new_key
from libs.rpc.faults import fault_from
from libs.rpc.server import RpcServer, Service
from tests.fakes.keys import FakeKeyDirectory

TOKEN = "mesh-secret"
JOBS = "chronos.scheduler.v1.JobService"
EXECUTIONS = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"].full_name
DELIVERIES = delivery_service_pb2.DESCRIPTOR.services_by_name["DeliveryService"].full_name
WEBHOOK = target_pb2.WebhookTarget(url="http://receiver.example/")

M = TypeVar("M")
Behave = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """What a servicer does before it answers, unless a test says otherwise."""


@dataclass(slots=True)
class Conduct:
    """What the servicers do, and what they saw."""

    behave: Behave = nothing
    seen: list[context.RequestContext] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        self.seen.append(context.current())
        await self.behave()

    def fail_with(self, error: Exception) -> None:
        async def fail() -> None:
            raise error

        self.behave = fail

    def never_answer(self) -> None:
        async def wait() -> None:
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()

        self.behave = wait


def raw_call(channel: grpc.aio.Channel, path: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    """A call that sends and gives bytes as they are."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    return call


class Jobs(job_service_pb2_grpc.JobServiceServicer):
    """Echoes. What it does not define is unimplemented."""

    def __init__(self, conduct: Conduct) -> None:
        self._conduct = conduct

    async def GetJob(self, request: job_service_pb2.GetJobRequest, context: Any) -> job_pb2.Job:
        await self._conduct.run()
        return job_pb2.Job(id=request.id)

    async def CreateJob(self, request: job_service_pb2.CreateJobRequest, context: Any) -> job_pb2.Job:
        await self._conduct.run()
        return request.job

    async def DeleteJob(
        self, request: job_service_pb2.DeleteJobRequest, context: Any
    ) -> job_service_pb2.DeleteJobResponse:
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "by hand")
        raise AssertionError


class Executions(execution_service_pb2_grpc.ExecutionServiceServicer):
    """One message, then what the test wants."""

    def __init__(self, conduct: Conduct) -> None:
        self._conduct = conduct

    async def WatchExecutions(
        self, request: execution_service_pb2.WatchExecutionsRequest, context: Any
    ) -> AsyncIterator[execution_service_pb2.WatchExecutionsResponse]:
        yield execution_service_pb2.WatchExecutionsResponse(resume_token="1")
        await self._conduct.run()
        yield execution_service_pb2.WatchExecutionsResponse(resume_token="2")


class Deliveries(delivery_service_pb2_grpc.DeliveryServiceServicer):
    """Gives a credit for every request."""

    def __init__(self, conduct: Conduct) -> None:
        self._conduct = conduct

    async def Deliver(
        self, request_iterator: AsyncIterator[delivery_service_pb2.DeliverRequest], context: Any
    ) -> AsyncIterator[delivery_service_pb2.DeliverResponse]:
        async for _ in request_iterator:
            yield delivery_service_pb2.DeliverResponse(credit=1)
            await self._conduct.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server, and a channel that carries a key that may do everything."""

    address: str
    server: RpcServer
    channel: grpc.aio.Channel
    conduct: Conduct
    keys: FakeKeyDirectory
    key: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-api-key", self.key),)

    @property
    def jobs(self) -> "job_service_pb2_grpc.JobServiceAsyncStub":
        return job_service_pb2_grpc.JobServiceStub(self.channel)

    @property
    def executions(self) -> "execution_service_pb2_grpc.ExecutionServiceAsyncStub":
        return execution_service_pb2_grpc.ExecutionServiceStub(self.channel)

    @property
    def deliveries(self) -> "delivery_service_pb2_grpc.DeliveryServiceAsyncStub":
        return delivery_service_pb2_grpc.DeliveryServiceStub(self.channel)

    def add_key(self, permissions: list[str], namespaces: list[str]) -> tuple[tuple[str, str], ...]:
        text, stored = new_key("limited", permissions, namespaces, SystemClock())
        self.keys.keys[stored.id] = stored
        return (("authorization", f"Bearer {text}"),)

    async def get(self, job_id: str = "a", **options: Any) -> job_pb2.Job:
        return await self.jobs.GetJob(
            job_service_pb2.GetJobRequest(id=job_id), **{"metadata": self.metadata, **options}
        )


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Served]:
    """A server with all three servicers and a channel to it; both are gone after the block."""
    conduct = Conduct()
    text, stored = new_key("admin", ["*"], ["*"], SystemClock())
    keys = FakeKeyDirectory(stored)
    services: list[Service] = [
        (job_service_pb2_grpc.add_JobServiceServicer_to_server, Jobs(conduct), JOBS),  # type: ignore[abstract]
        (
            execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server,
            Executions(conduct),  # type: ignore[abstract]
            EXECUTIONS,
        ),
        (delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server, Deliveries(conduct), DELIVERIES),
    ]
    clock = SystemClock()
    authenticator = Authenticator(keys, clock)
    server = RpcServer("127.0.0.1:0", services, authenticator=authenticator, clock=clock, mesh_token=TOKEN, **options)
    address = await server.start()
    try:
        async with open_channel(address, mesh_token=TOKEN) as channel:
            yield Served(address=address, server=server, channel=channel, conduct=conduct, keys=keys, key=text)
    finally:
        await server.drain(timedelta(0))


async def fault_of(call: Awaitable[object]) -> Fault:
    """The fault that a call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return fault_from(error)
    raise AssertionError("the call succeeded")


async def read_all(call: AsyncIterable[M], into: list[M]) -> None:
    """Reads a stream to its end, good or bad."""
    async for message in call:
        into.append(message)  # noqa: PERF401 - what came before an error must be kept


async def error_of(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The raw error that a call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")
