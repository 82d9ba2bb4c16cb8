"""What the edge promises to callers, with the real Envoy."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
import trustme
from chronos.history.v1 import execution_pb2, execution_service_pb2, ledger_service_pb2
from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceStub
from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceStub
from chronos.scheduler.v1 import job_pb2, job_service_pb2
from chronos.scheduler.v1.job_service_pb2_grpc import JobServiceStub

from deploy.envoy.topology import MeshTls, RateLimit, TlsFiles
from libs.contract import RateClass
from libs.rpc.tls import TlsFiles as MutualTls
from tests.contract.edge import MESH_TOKEN, Backends, Jobs, jobs_server, running_backends, running_envoy
from tests.contract.edge_caller import GET, OTHER_GET, Edge, caller, detail, error, statuses
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backends() -> AsyncIterator[Backends]:
    async with running_backends() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    folder = tmp_path_factory.mktemp("edge") / "edge"
    async with running_envoy(backends.topology, folder) as address, caller(address, backends.key) as http:
        yield Edge(address=address, backends=backends, http=http)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def narrow(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """An edge with TLS, tight limits, one origin that browsers may call from, and no gateway behind it."""
    folder = tmp_path_factory.mktemp("narrow")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    topology = replace(
        backends.topology,
        limits=dict.fromkeys(RateClass, RateLimit(per_second=1, burst=2)),
        gateway_http=["127.0.0.1:1"],
        cors_origins=("https://ui.example.com",),
        tls=TlsFiles(cert_file=str(folder / "cert.pem"), key_file=str(folder / "key.pem")),
    )
    async with running_envoy(topology, folder / "edge") as address, caller(address, backends.key, authority) as http:
        yield Edge(address=address, backends=backends, http=http, authority=authority)


# REST.


async def test_a_get_reaches_the_service_and_comes_back_as_json(edge: Edge) -> None:
    answer = await edge.get("/api/v1/namespaces/team-a/jobs/report")
    assert answer.status_code == 200
    assert answer.json() | {"namespace": "team-a", "id": "report", "name": "Näme", "version": 0} == answer.json()
    assert answer.headers["content-type"] == "application/json"


async def test_a_body_reaches_the_service_as_a_message(edge: Edge) -> None:
    body = {"name": "x", "schedule": "@hourly", "webhook": {"url": "http://x"}, "timeout": "1.5s", "tags": {"a": "b"}}
    answer = await edge.http.post("/api/v1/jobs?request_id=r&validate_only=true", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["timeout"] == "1.500s"
    asked = edge.backends.jobs.asked[-1]
    assert (asked.request_id, asked.validate_only, asked.job.timeout.nanos) == ("r", True, 500_000_000)
    assert dict(asked.job.tags) == {"a": "b"}


@pytest.mark.parametrize(
    "query",
    [
        "update_mask=schedule,retry_policy,webhook.url",
        "update_mask=schedule&update_mask=retry_policy&update_mask=webhook.url",
    ],
)
async def test_a_field_mask_is_given_in_the_query(edge: Edge, query: str) -> None:
    answer = await edge.http.patch(f"/api/v1/jobs/a?{query}", json={"schedule": "@daily"})
    assert answer.status_code == 200, answer.text
    assert list(edge.backends.jobs.asked[-1].update_mask.paths) == ["schedule", "retry_policy", "webhook.url"]


@pytest.mark.parametrize("space", ["+", "%20"])
async def test_a_space_in_the_query_is_written_as_browsers_and_programs_do(edge: Edge, space: str) -> None:
    text = "enabled = true AND tags.a = %22b%2Bc%22".replace(" ", space)
    assert (await edge.get(f"/api/v1/jobs?filter={text}")).status_code == 200
    assert edge.backends.jobs.asked[-1].filter == 'enabled = true AND tags.a = "b+c"'


async def test_enum_values_are_taken_in_any_case_and_more_than_once(edge: Edge) -> None:
    assert (await edge.get("/api/v1/executions?status=FAILED&status=success")).status_code == 200
    assert list(edge.backends.executions.asked[-1].status) == [
        execution_pb2.Execution.FAILED, execution_pb2.Execution.SUCCESS,
    ]  # fmt: skip


async def test_enum_values_are_printed_as_declared(edge: Edge) -> None:
    answer = await edge.http.post("/api/v1/jobs/a/trigger")
    assert answer.json()["status"] == "PENDING"


async def test_a_watch_comes_line_by_line_as_it_happens(edge: Edge) -> None:
    edge.backends.executions.go_on.clear()
    async with edge.http.stream("GET", "/api/v1/executions/watch") as answer:
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines)) == {"resume_token": "1"}
        edge.backends.executions.go_on.set()
        assert json.loads(await anext(lines)) == {"resume_token": "2"}


async def test_a_watch_that_is_refused_is_an_error_like_any_other(edge: Edge) -> None:
    error(await edge.get("/api/v1/executions/watch?resume_token=gone"), 404, 5)


async def test_a_request_id_is_given_back(edge: Edge) -> None:
    assert (await edge.get("/api/v1/jobs/a", headers={"x-request-id": "mine"})).headers["x-request-id"] == "mine"
    assert (await edge.get("/api/v1/jobs/a")).headers["x-request-id"]


# Errors.


async def test_an_error_of_a_service_keeps_its_details(edge: Edge) -> None:
    body = error(await edge.get("/api/v1/jobs/missing"), 404, 5)
    assert body["message"] == 'there is no job "missing"'
    assert detail(body, "ErrorInfo")["reason"] == "NOT_FOUND"


async def test_a_shape_that_a_service_refuses_names_the_field_as_it_was_written(edge: Edge) -> None:
    answer = await edge.http.post(
        "/api/v1/jobs", json={"name": "", "schedule": "@daily", "webhook": {"url": "http://x"}}
    )
    violations = detail(error(answer, 400, 3), "BadRequest")["field_violations"]
    assert [violation["field"] for violation in violations] == ["name"]


async def test_a_call_without_a_key_is_unauthenticated(edge: Edge) -> None:
    async with edge.caller() as http:
        body = error(await http.get("/api/v1/jobs/a"), 401, 16)
    assert detail(body, "ErrorInfo")["reason"] == "API_KEY_MISSING"


async def test_an_unknown_field_is_refused_with_the_right_spelling(edge: Edge) -> None:
    before = len(edge.backends.jobs.asked)
    body = error(await edge.http.post("/api/v1/jobs", json={"name": "x", "timezon": "UTC"}), 400, 3)
    assert "did you mean `timezone`?" in body["message"]
    assert detail(body, "BadRequest")["field_violations"][0]["field"] == "timezon"
    assert len(edge.backends.jobs.asked) == before


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain"])
async def test_a_body_of_another_media_type_is_refused(edge: Edge, content_type: str) -> None:
    answer = await edge.http.post("/api/v1/jobs", content="{}", headers={"content-type": content_type})
    error(answer, 415, 3)


async def test_a_body_where_none_belongs_is_refused(edge: Edge) -> None:
    error(await edge.http.request("DELETE", "/api/v1/jobs/a", json={}), 400, 3)


async def test_a_field_that_contradicts_the_path_is_refused(edge: Edge) -> None:
    error(await edge.http.post("/api/v1/jobs/a/trigger", json={"id": "b"}), 400, 3)


@pytest.mark.parametrize("query", ["page_sice=5", "page_size=many", "status=WRONG", "status.x=1"])
async def test_a_wrong_query_is_refused(edge: Edge, query: str) -> None:
    error(await edge.get(f"/api/v1/executions?{query}"), 400, 3)


@pytest.mark.parametrize("path", ["/", "/nope", "/api/v1/jobs/", "/api/v2/jobs", "/live", "/strict-json/api/v1/jobs",
                                  "/chronos.scheduler.v1.JobService/GetJob"])  # fmt: skip
async def test_a_path_that_is_not_there_is_not_found(edge: Edge, path: str) -> None:
    error(await edge.get(path), 404, 5)
    error(await edge.http.post(path, json={}), 404, 5)


async def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(edge: Edge) -> None:
    answer = await edge.http.delete("/api/v1/jobs")
    error(answer, 405, 12)
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("verb", ["POST", "DELETE"])
async def test_a_body_over_one_mebibyte_is_too_large(edge: Edge, verb: str) -> None:
    path = "/api/v1/jobs" if verb == "POST" else "/api/v1/jobs/a"
    answer = await edge.http.request(verb, path, json={"name": "x" * MIB})
    error(answer, 413, 8)


async def test_a_body_of_almost_one_mebibyte_is_not(edge: Edge) -> None:
    answer = await edge.http.post("/api/v1/jobs", json={"description": "x" * (MIB - 1000)})
    assert detail(error(answer, 400, 3), "BadRequest")["field_violations"]


async def test_headers_that_are_too_large_are_refused(edge: Edge) -> None:
    error(await edge.get("/api/v1/jobs/a", headers={"x-big": "x" * 40_000}), 431, 8)


async def test_a_service_that_is_away_is_unavailable(edge: Edge) -> None:
    error(await edge.get("/api/v1/cluster/status"), 503, 14)


async def test_a_read_is_tried_again_and_a_trigger_is_not(edge: Edge) -> None:
    edge.backends.jobs.failures = 2
    assert (await edge.get("/api/v1/jobs/flaky")).status_code == 200
    edge.backends.jobs.failures = 1
    error(await edge.http.post("/api/v1/jobs/flaky/trigger"), 503, 14)
    assert edge.backends.jobs.failures == 0


async def test_what_a_service_that_stops_has_called_off_is_tried_again(edge: Edge) -> None:
    edge.backends.jobs.called_off = 2
    assert (await edge.get("/api/v1/jobs/a")).status_code == 200
    edge.backends.jobs.called_off = 2
    assert (await edge.http.post("/api/v1/jobs/a/trigger")).status_code == 200
    assert edge.backends.jobs.called_off == 0


async def test_no_call_fails_while_one_of_two_replicas_drains(backends: Backends, tmp_path: Path) -> None:
    jobs = Jobs()  # type: ignore[abstract]
    replicas = [jobs_server(backends.authenticator, jobs) for _ in range(2)]
    addresses = [await replica.start() for replica in replicas]
    topology = replace(backends.topology, services={**backends.topology.services, "scheduler": addresses})
    async with running_envoy(topology, tmp_path / "edge") as address, caller(address, backends.key) as http:
        async with asyncio.TaskGroup() as group:
            slow = [group.create_task(statuses(http, ("POST", "/api/v1/jobs/slow/trigger"))) for _ in range(8)]
            await eventually(lambda: len(jobs.asked) == len(slow))
            both = GET, ("POST", "/api/v1/jobs/a/trigger")
            calls = [group.create_task(statuses(http, *both * 20)) for _ in range(8)]
            await eventually(lambda: len(jobs.asked) > 2 * len(slow))
            drained = group.create_task(replicas[0].drain(timedelta(seconds=10)))
            found = [await call for call in calls]
            jobs.go_on.set()
            await drained
            found += [await call for call in slow]
        await replicas[1].drain(timedelta(0))
    assert {status for some in found for status in some} == {200}


async def test_no_read_fails_when_one_of_two_replicas_dies(backends: Backends, tmp_path: Path) -> None:
    replicas = [jobs_server(backends.authenticator, backends.jobs) for _ in range(2)]
    addresses = [await replica.start() for replica in replicas]
    topology = replace(backends.topology, services={**backends.topology.services, "scheduler": addresses})
    async with running_envoy(topology, tmp_path / "edge") as address, caller(address, backends.key) as http:
        before = await statuses(http, *[GET] * 20)
        await replicas[0].drain(timedelta(0))
        after = await statuses(http, *[GET] * 100)
        await replicas[1].drain(timedelta(0))
    assert set(before + after) == {200}


async def test_services_may_speak_mutual_tls(backends: Backends, tmp_path: Path) -> None:
    authority = trustme.CA()
    files = {name: str(tmp_path / name) for name in ("cert_file", "key_file", "ca_file")}
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(files["cert_file"])
    certificate.private_key_pem.write_to_path(files["key_file"])
    authority.cert_pem.write_to_path(files["ca_file"])
    scheduler = jobs_server(backends.authenticator, backends.jobs, tls=MutualTls(**files))
    services = {**backends.topology.services, "scheduler": [await scheduler.start()]}
    topology = replace(backends.topology, services=services, mesh_tls=MeshTls(**files))
    async with running_envoy(topology, tmp_path / "edge") as address, caller(address, backends.key) as http:
        assert await statuses(http, GET) == [200]
    await scheduler.drain(timedelta(0))


# gRPC and gRPC-Web.


async def test_grpc_is_on_the_same_port(edge: Edge) -> None:
    async with grpc.aio.insecure_channel(edge.address) as channel:
        job = await JobServiceStub(channel).GetJob(job_service_pb2.GetJobRequest(id="a"), metadata=edge.metadata)
    assert job.name == "Näme"


async def test_a_grpc_caller_gets_a_grpc_status_with_its_details(edge: Edge) -> None:
    async with grpc.aio.insecure_channel(edge.address) as channel:
        request = job_service_pb2.GetJobRequest(id="missing")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await JobServiceStub(channel).GetJob(request, metadata=edge.metadata)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "grpc-status-details-bin" in dict(caught.value.trailing_metadata() or ())


async def test_grpc_streams_pass(edge: Edge) -> None:
    edge.backends.executions.go_on.set()
    async with grpc.aio.insecure_channel(edge.address) as channel:
        call = ExecutionServiceStub(channel).WatchExecutions(
            execution_service_pb2.WatchExecutionsRequest(), metadata=edge.metadata
        )
        assert [message.resume_token async for message in call] == ["1", "2"]


async def test_a_grpc_request_over_one_mebibyte_is_refused(edge: Edge) -> None:
    async with grpc.aio.insecure_channel(edge.address) as channel:
        request = job_service_pb2.CreateJobRequest(job=job_pb2.Job(description="x" * MIB))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await JobServiceStub(channel).CreateJob(request, metadata=edge.metadata)
    assert "larger than the edge takes" in (caught.value.details() or "")


async def test_internal_services_cannot_be_reached(edge: Edge) -> None:
    async with grpc.aio.insecure_channel(edge.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (
                LedgerServiceStub(channel)
                .SealShard(ledger_service_pb2.SealShardRequest(), metadata=(("x-chronos-mesh-token", MESH_TOKEN),))
                .read()
            )
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    path = "/chronos.history.v1.LedgerService/SealShard"
    error(await edge.http.post(path, json={}), 404, 5)


async def test_grpc_web_is_on_the_same_port(edge: Edge) -> None:
    message = job_service_pb2.GetJobRequest(id="a").SerializeToString()
    answer = await edge.http.post(
        "/chronos.scheduler.v1.JobService/GetJob",
        content=struct.pack(">BI", 0, len(message)) + message,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )
    kind, size = struct.unpack(">BI", answer.content[:5])
    assert (answer.status_code, kind) == (200, 0)
    assert job_pb2.Job.FromString(answer.content[5 : 5 + size]).id == "a"
    assert b"grpc-status:0" in answer.content[5 + size :].replace(b" ", b"")


# What the gateway answers itself.


async def test_the_gateway_answers_for_operators(edge: Edge) -> None:
    async with edge.caller() as http:
        assert (await http.get("/health")).json()["status"] == "unhealthy"
        assert "own" in (await http.get("/metrics")).text
        assert (await http.get("/openapi.json")).json() == {"openapi": "3.1.0"}
        error(await http.post("/health"), 405, 12)


# An edge with tight limits and without a gateway.


async def test_who_is_too_fast_is_told_to_wait(narrow: Edge) -> None:
    async with narrow.caller("impatient") as http:
        assert await statuses(http, GET, OTHER_GET) == [401, 401]
        answer = await http.get("/api/v1/jobs/a")
        error(answer, 429, 8)
        assert answer.headers["retry-after"] == "1"


async def test_a_limit_is_of_a_key_and_of_a_kind_of_calls(narrow: Edge) -> None:
    async with narrow.caller("reads") as http:
        assert await statuses(http, GET, GET, GET) == [401, 401, 429]
        assert (await http.delete("/api/v1/jobs/a")).status_code == 503
    async with narrow.caller("another") as http:
        assert await statuses(http, GET) == [401]


async def test_a_bearer_token_is_a_client_as_a_key_is(narrow: Edge) -> None:
    async with narrow.caller() as http:
        http.headers["authorization"] = "Bearer key"
        assert await statuses(http, GET, GET, GET) == [401, 401, 429]


async def test_without_a_key_the_address_is_the_client(narrow: Edge) -> None:
    async with narrow.caller() as http:
        assert 429 in await statuses(http, GET, GET, GET)
    async with narrow.caller() as http:
        http.headers["x-chronos-client"] = "somebody else"
        assert 429 in await statuses(http, GET, GET, GET)


async def test_a_grpc_caller_who_is_too_fast_gets_resource_exhausted(narrow: Edge) -> None:
    assert narrow.authority is not None
    credentials = grpc.ssl_channel_credentials(narrow.authority.cert_pem.bytes())
    async with grpc.aio.secure_channel(narrow.address, credentials) as channel:
        get, request = JobServiceStub(channel).GetJob, job_service_pb2.GetJobRequest(id="a")
        for _ in range(2):
            await get(request, metadata=narrow.metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(request, metadata=narrow.metadata)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_nothing_gets_past_a_strict_check_that_cannot_be_made(narrow: Edge) -> None:
    before = len(narrow.backends.jobs.asked)
    error(await narrow.http.post("/api/v1/jobs", json={"name": "x"}), 503, 14)
    assert len(narrow.backends.jobs.asked) == before


async def test_a_page_of_an_allowed_origin_may_call(narrow: Edge) -> None:
    asked = {"origin": "https://ui.example.com", "access-control-request-method": "PUT"}
    answer = await narrow.http.options("/api/v1/jobs/a", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://ui.example.com"
    assert "PUT" in answer.headers["access-control-allow-methods"]


async def test_a_page_of_another_origin_may_not(narrow: Edge, edge: Edge) -> None:
    asked = {"origin": "https://evil.example.com", "access-control-request-method": "PUT"}
    for one in (narrow, edge):
        answer = await one.http.options("/api/v1/jobs/a", headers=asked)
        assert "access-control-allow-origin" not in answer.headers
