"""A small service for the tests of `libs.process`: `python -m tests.component.process_program MODE [OTLP]`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from chronos.scheduler.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server

from libs import telemetry
from libs.clock import SystemClock
from libs.log import get_logger
from libs.metrics import serve_metrics
from libs.process import App, run
from libs.rpc.auth import Authenticator
from libs.rpc.credentials import stored_key
from libs.rpc.server import RpcServer
from libs.settings import ServiceSettings
from tests.component.rpc.harness import JOBS, Conduct, Jobs
from tests.fakes.keys import FakeKeyDirectory

KEY = f"chronos_{'a' * 12}_{'b' * 43}"
logger = get_logger()


@asynccontextmanager
async def open_app(mode: str) -> AsyncIterator[App]:
    logger.info("opening")
    if mode == "waits-to-open":
        await asyncio.Event().wait()
    clock, conduct = SystemClock(), Conduct()
    keys = FakeKeyDirectory(stored_key(KEY, "test", ["*"], ["*"], clock))
    services = [(add_JobServiceServicer_to_server, Jobs(conduct), JOBS)]  # type: ignore[abstract]
    server = RpcServer("127.0.0.1:0", services, authenticator=Authenticator(keys, clock), clock=clock)

    async def traced() -> None:
        with telemetry.span("look up", attributes={"job": "a"}):
            logger.info("answering")

    async def start() -> None:
        conduct.behave = traced
        metrics = await serve_metrics("127.0.0.1:0", lambda: server.is_serving)
        logger.info("bound", address=await server.start(), metrics=metrics)

    async def loop() -> None:
        if mode == "crashes":
            raise ValueError("boom")
        await asyncio.Event().wait()

    async def drain() -> None:
        await server.drain(timedelta(seconds=1))
        if mode == "hangs-in-drain":
            await asyncio.Event().wait()

    try:
        yield App(start=start, loops={"loop": loop}, drain=drain)
    finally:
        logger.info("closed")


if __name__ == "__main__":
    chosen, *endpoint = sys.argv[1:]
    settings = ServiceSettings(
        replica="widget-0", otlp_endpoint="".join(endpoint), trace_sample_ratio=1.0, drain_timeout=timedelta(seconds=30)
    )
    raise SystemExit(run("widget", settings, lambda: open_app(chosen)))
