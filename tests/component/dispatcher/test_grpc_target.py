"""A scheduler's stream in, real gRPC calls out, records to history."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2
from chronos.scheduler.v1.grpc_target_pb2 import GrpcTarget

from libs.clock import SystemClock
from services.dispatcher.app.senders import open_senders
from tests.component.dispatcher.harness import Harness, open_dispatcher
from tests.deliveries import make_delivery, make_job, quick_settings
from tests.eventually import eventually
from tests.servers.grpc import GrpcServer
from tests.servers.orders import FAIL, PLACE, SLOW

Execution = execution_pb2.Execution


@asynccontextmanager
async def open_real_dispatcher(**changes: object) -> AsyncIterator[Harness]:
    settings = quick_settings(allow_private_addresses=True, **changes)
    async with open_senders(settings, SystemClock()) as sender, open_dispatcher(settings, sender=sender) as harness:
        yield harness


def grpc_job(address: str, method: str = PLACE, *, max_attempts: int = 3, **target: Any) -> job_pb2.Job:
    job = make_job("", max_attempts=max_attempts)
    job.grpc.CopyFrom(GrpcTarget(address=address, method=method, **target))
    return job


def patient(job: job_pb2.Job) -> job_pb2.Job:
    job.retry_policy.max_attempts = 100
    job.retry_policy.initial_interval.FromTimedelta(timedelta(milliseconds=50))
    job.retry_policy.max_interval.FromTimedelta(timedelta(milliseconds=50))
    return job


async def test_a_method_is_called_and_its_answer_recorded() -> None:
    async with GrpcServer() as server, open_real_dispatcher() as harness:
        delivery = make_delivery(grpc_job(server.address, payload='{"customer": "{{.JobName}}"}'))
        await (await harness.connect()).send(delivery)
        execution = await harness.history.wait_for_final(delivery.execution_id)
        (call,) = server.calls
    assert (execution.status, execution.attempt_count, execution.status_code) == (Execution.SUCCESS, 1, 0)
    assert json.loads(execution.response) == {"orderId": 'order of Büro "report"'}
    assert call.metadata["x-chronos-execution-id"] == delivery.execution_id


async def test_a_call_is_repeated_until_its_server_is_back() -> None:
    async with GrpcServer() as server, open_real_dispatcher(breaker_failures=0) as harness:
        await server.stop()
        job = patient(grpc_job(server.address, payload="{}"))
        delivery = make_delivery(job)
        await (await harness.connect()).send(delivery)
        await harness.history.wait_for(lambda history: any(each.attempts for each in history.of(delivery.execution_id)))
        await server.start()
        execution = await harness.history.wait_for_final(delivery.execution_id)
        (call,) = server.calls
    assert (execution.status, execution.attempt_count > 1) == (Execution.SUCCESS, True)
    assert call.metadata["x-chronos-attempt"] == str(execution.attempt_count)
    assert execution.attempts[0].error == f"{server.address} refuses connections: nothing listens there"


async def test_at_most_once_is_repeated_only_while_nothing_can_have_arrived() -> None:
    async with GrpcServer() as server, open_real_dispatcher(breaker_failures=0) as harness:
        await server.stop()
        job = patient(grpc_job(server.address, FAIL, payload='{"customer": "UNAVAILABLE", "note": "bm8="}'))
        job.delivery_guarantee = job_pb2.Job.AT_MOST_ONCE
        delivery = make_delivery(job)
        await (await harness.connect()).send(delivery)
        await harness.history.wait_for(lambda history: any(each.attempts for each in history.of(delivery.execution_id)))
        await server.start()
        execution = await harness.history.wait_for_final(delivery.execution_id)
        assert len(server.calls) == 1
    assert (execution.status, execution.error) == (Execution.FAILED, "answered UNAVAILABLE: no")
    assert execution.attempt_count > 1


async def test_a_slow_method_times_out() -> None:
    async with GrpcServer() as server, open_real_dispatcher() as harness:
        job = grpc_job(server.address, SLOW, max_attempts=1, raw_payload=b"\x0a\x00")
        job.grpc.timeout.FromTimedelta(timedelta(milliseconds=200))
        delivery = make_delivery(job)
        await (await harness.connect()).send(delivery)
        execution = await harness.history.wait_for_final(delivery.execution_id)
    assert (execution.status, execution.error) == (Execution.TIMED_OUT, "timed out after 200ms")


async def test_a_server_that_is_away_has_its_breaker_opened() -> None:
    async with open_real_dispatcher(breaker_failures=3) as harness:
        delivery = make_delivery(grpc_job("127.0.0.1:9", max_attempts=3))
        await (await harness.connect()).send(delivery)
        await harness.history.wait_for_final(delivery.execution_id)
        await eventually(lambda: any(one.host == "127.0.0.1:9" for one in harness.dispatch.breakers.tripped))
