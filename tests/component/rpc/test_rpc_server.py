"""A real server under real calls: checks, statuses, contexts, health, reflection, drain."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from chronos.scheduler.v1 import job_pb2, job_service_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from structlog.testing import capture_logs

from libs.faults import (
    AlreadyExists,
    Fault,
    Forbidden,
    InvalidArgument,
    LimitReached,
    NotFound,
    Stale,
    Unauthenticated,
    Unavailable,
    Unheard,
    Violation,
    WrongState,
)
from libs.rpc.channel import fault_from, open_channel
from libs.rpc.server import RpcServer
from tests.component.rpc.harness import EXECUTIONS, JOBS, WEBHOOK, error_of, fault_of, raw_call, serving

FAULTS = [
    (InvalidArgument([Violation(field="schedule", description="write five fields")]), "INVALID_ARGUMENT"),
    (Unauthenticated("send a key"), "UNAUTHENTICATED"),
    (Forbidden("use another key"), "PERMISSION_DENIED"),
    (NotFound('there is no job "a"; list the jobs'), "NOT_FOUND"),
    (AlreadyExists("choose another id"), "ALREADY_EXISTS"),
    (Stale("read it again"), "ABORTED"),
    (WrongState("enable it first"), "FAILED_PRECONDITION"),
    (LimitReached("wait", retry_after=timedelta(seconds=3)), "RESOURCE_EXHAUSTED"),
    (Unavailable("try again — soon"), "UNAVAILABLE"),
]


@pytest.mark.parametrize(("fault", "code"), FAULTS, ids=lambda value: str(value) if isinstance(value, str) else "")
async def test_a_fault_reaches_the_caller_with_code_message_and_details(fault: Fault, code: str) -> None:
    async with serving() as served:
        served.conduct.fail_with(fault)
        error = await error_of(served.get())
        back = await fault_of(served.get())
    assert error.code().name == code
    status = rpc_status.from_call(error)
    assert status is not None
    assert status.message == error.details() == fault.message
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("chronos", fault.reason)
    assert type(back) is type(fault)


async def test_a_bug_is_masked_and_logged_once_with_its_stack() -> None:
    async with serving() as served:
        served.conduct.fail_with(KeyError("the password is hush"))
        with capture_logs() as logs:
            error = await error_of(served.get(metadata=(*served.metadata, ("x-request-id", "r-7"))))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "hush" not in f"{error.details()} {error.trailing_metadata()}"
    assert "r-7" in str(error.details())
    broke = [line for line in logs if line["log_level"] == "error"]
    assert len(broke) == 1
    assert isinstance(broke[0]["exc_info"], KeyError)


async def test_a_group_with_a_fault_in_it_reads_like_the_fault() -> None:
    async with serving() as served:
        served.conduct.fail_with(ExceptionGroup("tasks", [NotFound("gone")]))
        assert isinstance(await fault_of(served.get()), NotFound)


async def test_a_status_that_the_servicer_chose_itself_is_left_alone() -> None:
    async with serving() as served:
        request = job_service_pb2.DeleteJobRequest(id="a")
        error = await error_of(served.jobs.DeleteJob(request, metadata=served.metadata))
    assert (error.code(), error.details()) == (grpc.StatusCode.OUT_OF_RANGE, "by hand")


async def test_bad_fields_are_all_reported_with_paths_relative_to_the_body() -> None:
    request = job_service_pb2.CreateJobRequest(job=job_pb2.Job(id="No Good", webhook=WEBHOOK), request_id="x" * 129)
    async with serving() as served:
        fault = await fault_of(served.jobs.CreateJob(request, metadata=served.metadata))
        assert served.conduct.seen == []
    assert isinstance(fault, InvalidArgument)
    assert {violation.field for violation in fault.violations} == {"id", "name", "request_id"}


async def test_any_number_of_bad_fields_fits_into_the_answer() -> None:
    tags = {f"ключ {number} !" * 20: "v" * 300 for number in range(200)}
    request = job_service_pb2.CreateJobRequest(job=job_pb2.Job(name="n", schedule="s", webhook=WEBHOOK, tags=tags))
    async with serving() as served:
        fault = await fault_of(served.jobs.CreateJob(request, metadata=served.metadata))
    assert isinstance(fault, InvalidArgument)
    assert fault.violations


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("x-api-key", "nonsense"),),
        (("authorization", "Basic dTpw"),),
        (("authorization", "Bearer " + "x" * 4000),),
        (("x-api-key-bin", b"\xff\x00"),),
        (("x-request-id", "bad id with spaces"), ("traceparent", "rubbish")),
        (("x-api-key", "a"), ("x-api-key", "b")),
    ],
)
async def test_without_a_valid_key_the_answer_is_401(metadata: tuple[tuple[str, Any], ...]) -> None:
    async with serving() as served:
        fault = await fault_of(served.get(metadata=metadata))
        assert served.conduct.seen == []
    assert isinstance(fault, Unauthenticated)


async def test_a_key_is_held_to_its_permissions_and_namespaces() -> None:
    async with serving() as served:
        reader = served.add_key(["job:read"], ["team-a"])
        get = job_service_pb2.GetJobRequest(id="a", namespace="team-a")
        await served.jobs.GetJob(get, metadata=reader)
        other = await fault_of(served.get(metadata=reader))
        create = job_service_pb2.CreateJobRequest(namespace="team-a", job=job_pb2.Job())
        writing = await fault_of(served.jobs.CreateJob(create, metadata=reader))
    assert isinstance(other, Forbidden)
    assert other.metadata["namespace"] == "default"
    assert isinstance(writing, Forbidden)
    assert writing.metadata["permission"] == "job:create"


async def test_until_the_keys_are_read_the_answer_is_503() -> None:
    async with serving() as served:
        served.keys.keys.clear()
        served.keys.is_ready = False
        assert isinstance(await fault_of(served.get()), Unavailable)


async def test_the_servicer_learns_who_calls_and_the_caller_its_request_id() -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with serving() as served:
        call = served.jobs.GetJob(
            job_service_pb2.GetJobRequest(id="a"),
            metadata=(*served.metadata, ("x-request-id", "r-1"), ("traceparent", parent)),
        )
        await call
        trailers = dict(await call.trailing_metadata())
        (seen,) = served.conduct.seen
    assert trailers["x-request-id"] == "r-1"
    assert (seen.request_id, seen.namespace, seen.traceparent) == ("r-1", "default", parent)
    assert (seen.principal.name, seen.method) == ("admin", f"/{JOBS}/GetJob")
    assert seen.peer.startswith("ipv4:127.0.0.1:")


async def test_calls_do_not_see_each_others_contexts() -> None:
    async with serving() as served, asyncio.TaskGroup() as group:
        for number in range(20):
            metadata = (*served.metadata, ("x-request-id", f"r-{number}"))
            group.create_task(served.get(metadata=metadata))
    assert {context.request_id for context in served.conduct.seen} == {f"r-{number}" for number in range(20)}


async def test_a_call_without_a_deadline_gets_one() -> None:
    async with serving(default_deadline=timedelta(milliseconds=50)) as served:
        served.conduct.never_answer()
        request = job_service_pb2.GetJobRequest(id="a").SerializeToString()
        async with grpc.aio.insecure_channel(served.address) as plain:
            error = await error_of(raw_call(plain, f"/{JOBS}/GetJob")(request, metadata=served.metadata))
        assert served.conduct.cancelled.is_set()
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "longer than 0.05 s" in str(error.details())


async def test_the_callers_own_deadline_cancels_the_servicer() -> None:
    async with serving() as served:
        served.conduct.never_answer()
        error = await error_of(served.get(timeout=0.05))
        async with asyncio.timeout(5):
            await served.conduct.cancelled.wait()
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_unknown_and_unwritten_methods_are_unimplemented() -> None:
    async with serving() as served:
        unknown = raw_call(served.channel, f"/{JOBS}/FireEverything")
        listing = served.jobs.ListJobs(job_service_pb2.ListJobsRequest(), metadata=served.metadata)
        for call in (unknown(b""), listing):
            assert (await error_of(call)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_rubbish_in_place_of_a_message_is_refused_once_the_caller_is_known() -> None:
    async with serving() as served:
        call = raw_call(served.channel, f"/{JOBS}/GetJob")
        with capture_logs() as logs:
            known = await fault_of(call(b"\xff\xff\xff", metadata=served.metadata))
            unknown = await fault_of(call(b"\xff\xff\xff"))
    assert isinstance(known, InvalidArgument)
    assert isinstance(unknown, Unauthenticated)
    assert not [line for line in logs if line["log_level"] == "error"]


async def test_rubbish_sent_to_the_health_service_is_refused() -> None:
    async with serving() as served:
        fault = await fault_of(raw_call(served.channel, "/grpc.health.v1.Health/Check")(b"\xff\xff"))
    assert isinstance(fault, InvalidArgument)


async def test_a_message_that_is_too_large_is_refused_as_such() -> None:
    async with serving(max_message_bytes=1024) as served:
        error = await error_of(served.get("x" * 2000))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_health_and_reflection_need_no_key() -> None:
    async with serving() as served:
        health = health_pb2_grpc.HealthStub(served.channel)
        for service in ("", JOBS, EXECUTIONS):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        names = {service.name async for answer in call for service in answer.list_services_response.service}
    assert {JOBS, EXECUTIONS, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names


async def test_a_port_that_is_taken_is_an_error_with_the_address_in_it() -> None:
    async with serving() as served:
        second = RpcServer(served.address, [], authenticator=None, clock=None)  # type: ignore[arg-type]
        with pytest.raises(OSError, match=served.address):
            await second.start()
        await second.drain(timedelta(0))


async def test_a_drain_lets_calls_finish_and_says_not_serving() -> None:
    release = asyncio.Event()
    async with serving() as served:
        entered = asyncio.Event()

        async def slow() -> None:
            entered.set()
            await release.wait()

        served.conduct.behave = slow
        health = health_pb2_grpc.HealthStub(served.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        async with asyncio.TaskGroup() as group:
            call = group.create_task(served.get())
            await entered.wait()
            drained = group.create_task(served.server.drain(timedelta(seconds=10)))
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert not served.server.is_serving
            assert not drained.done()
            release.set()
        assert call.result().id == "a"
        async with open_channel(served.address) as late:
            error = await error_of(raw_call(late, f"/{JOBS}/GetJob")(b""))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_call_that_meets_a_drain_is_answered_or_told_to_go_elsewhere() -> None:
    """Also one that was on its way as the drain began, over a connection that still stands."""
    release, entered = asyncio.Event(), asyncio.Event()
    async with serving() as served:

        async def slow() -> None:
            entered.set()
            await release.wait()

        async def outcome() -> type[Fault] | None:
            try:
                await served.get()
            except grpc.aio.AioRpcError as error:
                return type(fault_from(error))
            return None

        served.conduct.behave = slow
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome())]
            await entered.wait()
            drained = group.create_task(served.server.drain(timedelta(seconds=10)))
            for number in range(60):
                calls.append(group.create_task(outcome()))
                await asyncio.sleep(0 if number % 3 else 0.0002)
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            release.set()
            await drained
        outcomes = [await call for call in calls]
    assert outcomes[0] is None
    assert set(outcomes) == {None, Unheard}
    assert len(served.conduct.seen) == outcomes.count(None)
