"""The dispatcher as it is put together: a member of a mesh with a real etcd and a real history."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from chronos.cluster.v1.cluster_pb2 import Member
from chronos.dispatcher.v1.circuit_breaker_service_pb2 import CircuitBreaker, ListCircuitBreakersRequest
from chronos.dispatcher.v1.circuit_breaker_service_pb2_grpc import CircuitBreakerServiceStub
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2

from libs.clock import SystemClock
from libs.etcd import keys
from libs.etcd.api_keys import store_key
from libs.etcd.client import EtcdClient
from libs.metrics import stop_serving
from libs.process import App, serve
from libs.rpc.channel import open_channel
from libs.rpc.credentials import new_key
from services.dispatcher.app import open_app
from services.dispatcher.settings import DispatcherSettings
from services.history.app import open_app as open_history
from services.history.settings import HistorySettings
from tests.component.dispatcher.harness import PATIENCE_SECONDS, Event, SchedulerStream
from tests.deliveries import make_delivery, make_job
from tests.etcd_server import EtcdServer
from tests.receiver import Manner, Receiver, Reply

pytestmark = pytest.mark.etcd
TOKEN = "mesh"


async def live(app: App, stop: asyncio.Event) -> None:
    await serve(app, stop, timedelta(seconds=5), SystemClock())


async def address_of(etcd: EtcdClient, service: str) -> str:
    """Where the newest member of a service listens."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            listing = await etcd.list_prefix(keys.members_of(service))
            if listing.items:
                newest = max(listing.items, key=lambda item: item.create_revision)
                return Member.FromString(newest.value).address
            await SystemClock().sleep(timedelta(milliseconds=10))


class Mesh:
    def __init__(self, stream: SchedulerStream, stop: asyncio.Event, etcd: EtcdClient) -> None:
        self.stream = stream
        self.stop = stop
        self.etcd = etcd


@asynccontextmanager
async def open_mesh(server: EtcdServer, folder: Path, *, allow_private_addresses: bool) -> AsyncIterator[Mesh]:
    common = {"etcd_endpoints": server.endpoints, "mesh_token": TOKEN}
    settings = DispatcherSettings.model_validate(common | {"allow_private_addresses": allow_private_addresses})
    history_settings = HistorySettings.model_validate(common | {"data_dir": folder})
    async with AsyncExitStack() as stack:
        etcd = EtcdClient(server.endpoints)
        stack.push_async_callback(etcd.close)
        stack.push_async_callback(stop_serving)
        stop, history_stop = asyncio.Event(), asyncio.Event()
        history = await stack.enter_async_context(open_history(history_settings))
        dispatcher = await stack.enter_async_context(open_app(settings))
        async with asyncio.TaskGroup() as group:
            group.create_task(live(history, history_stop))
            running = group.create_task(live(dispatcher, stop))
            channel = open_channel(await address_of(etcd, "dispatcher"), mesh_token=TOKEN)
            stream = SchedulerStream(channel)
            group.create_task(stream.read())
            try:
                yield Mesh(stream, stop, etcd)
            finally:
                stop.set()
                await asyncio.wait([running])
                history_stop.set()
                await channel.close()


async def test_a_delivery_goes_through_the_whole_dispatcher(shared_etcd: EtcdServer, tmp_path: Path) -> None:
    async with Receiver() as receiver, open_mesh(shared_etcd, tmp_path, allow_private_addresses=True) as mesh:
        delivery = make_delivery(make_job(receiver.url()))
        await mesh.stream.send(delivery)
        await mesh.stream.wait_for_kind(delivery.execution_id, "FINISHED")
        finished = mesh.stream.event(delivery.execution_id, Event.FINISHED)
        assert finished.status == execution_pb2.Execution.SUCCESS
        assert receiver.requests[0].headers["user-agent"].startswith("Chronos/")


async def test_a_real_history_grants_claims_and_takes_cancellations(shared_etcd: EtcdServer, tmp_path: Path) -> None:
    async with Receiver() as receiver, open_mesh(shared_etcd, tmp_path, allow_private_addresses=True) as mesh:
        once, hold = make_delivery(make_job(receiver.url())), asyncio.Event()
        once.job.delivery_guarantee, once.definition_id = job_pb2.Job.AT_MOST_ONCE, b"d" * 16
        slow = make_delivery(make_job(receiver.reply("/slow", Reply(hold=hold))))
        await mesh.stream.send(once, slow)
        await mesh.stream.wait_for_kind(once.execution_id, "FINISHED")
        assert mesh.stream.event(once.execution_id, Event.FINISHED).status == execution_pb2.Execution.SUCCESS
        await receiver.wait_for_count(2)
        await mesh.stream.stop(slow.execution_id, "stopped by ann", execution_pb2.Execution.CANCELLED_BY_USER)
        await mesh.stream.wait_for_kind(slow.execution_id, "FINISHED")
        assert mesh.stream.event(slow.execution_id, Event.FINISHED).status == execution_pb2.Execution.CANCELLED
        hold.set()


async def test_private_addresses_are_refused_unless_allowed(shared_etcd: EtcdServer, tmp_path: Path) -> None:
    async with Receiver() as receiver, open_mesh(shared_etcd, tmp_path, allow_private_addresses=False) as mesh:
        delivery = make_delivery(make_job(receiver.url()))
        await mesh.stream.send(delivery)
        await mesh.stream.wait_for_kind(delivery.execution_id, "FINISHED")
        assert mesh.stream.event(delivery.execution_id, Event.FINISHED).status == execution_pb2.Execution.FAILED
        assert receiver.connections == 0


async def test_a_stopping_dispatcher_leaves_the_mesh_and_hands_back_what_it_holds(
    shared_etcd: EtcdServer, tmp_path: Path
) -> None:
    async with Receiver() as receiver, open_mesh(shared_etcd, tmp_path, allow_private_addresses=True) as mesh:
        hold = asyncio.Event()
        waiting = make_delivery(make_job(receiver.reply("/busy", Reply(status=503, headers={"Retry-After": "60"}))))
        sent = make_delivery(make_job(receiver.reply("/slow", Reply(manner=Manner.ANSWER, hold=hold))))
        await mesh.stream.send(waiting, sent)
        await mesh.stream.wait_for_kind(waiting.execution_id, "RECORDED")
        await receiver.wait_for_count(2)
        mesh.stop.set()
        await mesh.stream.wait_for_kind(waiting.execution_id, "RETURNED")
        assert mesh.stream.is_draining
        assert (await mesh.etcd.list_prefix(keys.members_of("dispatcher"))).items == ()
        hold.set()
        await mesh.stream.wait_for_kind(sent.execution_id, "FINISHED")


async def test_open_circuits_are_listed_by_every_replica_for_who_may_see_them(
    shared_etcd: EtcdServer, tmp_path: Path
) -> None:
    async with Receiver() as receiver, open_mesh(shared_etcd, tmp_path, allow_private_addresses=True) as mesh:
        text, stored = new_key("test", ["cluster:read"], ["*"], SystemClock())
        await store_key(mesh.etcd, stored)
        bad = make_job(receiver.reply("/", Reply(status=500)), max_attempts=1)
        for _ in range(5):
            delivery = make_delivery(bad)
            await mesh.stream.send(delivery)
            await mesh.stream.wait_for_kind(delivery.execution_id, "FINISHED")
        async with open_channel(await address_of(mesh.etcd, "dispatcher")) as channel:
            stub = CircuitBreakerServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ListCircuitBreakers(ListCircuitBreakersRequest())
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            found = await eventually_listed(stub, text)
        assert (found.host, found.dispatcher) == (f"127.0.0.1:{receiver.port}", "dispatcher-0")
        assert (found.state, found.failures) == (CircuitBreaker.OPEN, 5)


async def eventually_listed(stub: Any, key: str) -> CircuitBreaker:
    """The first breaker that is listed. The key and the breaker travel through etcd."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(grpc.aio.AioRpcError):
                call = stub.ListCircuitBreakers(ListCircuitBreakersRequest(), metadata=(("x-api-key", key),))
                for breaker in (await call).circuit_breakers:
                    assert isinstance(breaker, CircuitBreaker)
                    return breaker
            await SystemClock().sleep(timedelta(milliseconds=10))
