"""gRPC and gRPC-Web through Envoy, with the client that is generated from proto/."""

import base64
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from chronos.gateway.v1.cluster_service_pb2 import GetClusterStatusRequest
from chronos.gateway.v1.cluster_service_pb2_grpc import ClusterServiceStub
from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.execution_service_pb2 import (
    ListExecutionsRequest,
    WatchExecutionsRequest,
    WatchExecutionsResponse,
)
from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceStub
from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceStub
from chronos.scheduler.v1.job_pb2 import Job
from chronos.scheduler.v1.job_service_pb2 import CreateJobRequest, GetJobRequest, ListJobsRequest, TriggerJobRequest
from chronos.scheduler.v1.job_service_pb2_grpc import JobServiceStub
from chronos.scheduler.v1.target_pb2 import WebhookTarget
from google.rpc import error_details_pb2, status_pb2

from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh, eventually
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh


@pytest.fixture
def channel(mesh: RunningMesh) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(mesh.address) as opened:
        yield opened


@pytest.fixture
def key(mesh: RunningMesh) -> tuple[tuple[str, str], ...]:
    return (("x-api-key", mesh.api_key),)


def new_job(job_id: str, url: str = "http://127.0.0.1:9/") -> CreateJobRequest:
    return CreateJobRequest(job=Job(id=job_id, name=job_id, schedule="@yearly", webhook=WebhookTarget(url=url)))


def test_a_job_is_created_run_and_followed(
    channel: grpc.Channel, key: tuple[tuple[str, str], ...], fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("grpc")
    jobs, executions = JobServiceStub(channel), ExecutionServiceStub(channel)
    made = jobs.CreateJob(new_job(name, receiver.url("/grpc")), metadata=key, timeout=10)
    assert jobs.GetJob(GetJobRequest(id=name), metadata=key, timeout=10) == made
    promised = jobs.TriggerJob(TriggerJobRequest(id=name), metadata=key, timeout=10)
    request = ListExecutionsRequest(job_id=name, status=[Execution.SUCCESS])
    recorded = eventually(lambda: executions.ListExecutions(request, metadata=key, timeout=10).executions)
    assert [execution.id for execution in recorded] == [promised.id]


def test_a_watch_streams(
    channel: grpc.Channel, key: tuple[tuple[str, str], ...], fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("streamed")
    jobs, executions = JobServiceStub(channel), ExecutionServiceStub(channel)
    request = new_job(name, receiver.url("/streamed"))
    request.job.schedule = "* * * * * *"
    jobs.CreateJob(request, metadata=key, timeout=10)
    stream = executions.WatchExecutions(WatchExecutionsRequest(job_id=name), metadata=key, timeout=30)
    statuses = [message.execution.status for message, _ in zip(told(stream), range(2), strict=False)]
    stream.cancel()
    assert set(statuses) <= {Execution.PENDING, Execution.RUNNING, Execution.SUCCESS}
    assert len(statuses) == 2


def told(stream: Iterable[WatchExecutionsResponse]) -> Iterator[WatchExecutionsResponse]:
    return (message for message in stream if message.HasField("execution"))


def test_an_error_carries_its_details(channel: grpc.Channel, key: tuple[tuple[str, str], ...], fresh: Fresh) -> None:
    request = new_job(fresh("wrong"))
    request.job.schedule = "61 * * * *"
    with pytest.raises(grpc.RpcError) as caught:
        JobServiceStub(channel).CreateJob(request, metadata=key, timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailers: Any = caught.value.trailing_metadata()
    [details] = [value for key, value in trailers if key == "grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [violation.field for violation in bad.field_violations] == ["schedule"]


def test_a_call_without_a_key_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        JobServiceStub(channel).ListJobs(ListJobsRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_internal_services_are_not_reachable(channel: grpc.Channel, key: tuple[tuple[str, str], ...]) -> None:
    from chronos.history.v1.ledger_service_pb2 import SealShardRequest

    with pytest.raises(grpc.RpcError) as caught:
        next(LedgerServiceStub(channel).SealShard(SealShardRequest(), metadata=key, timeout=10))
    assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)


def test_the_cluster_answers(channel: grpc.Channel, key: tuple[tuple[str, str], ...]) -> None:
    status = ClusterServiceStub(channel).GetClusterStatus(GetClusterStatusRequest(), metadata=key, timeout=10)
    assert status.meta.shard_count == len(status.shards)


@pytest.mark.parametrize("is_text", [False, True], ids=["binary", "text"])
def test_a_browser_may_call_with_grpc_web(api: httpx.Client, fresh: Fresh, is_text: bool) -> None:
    name = fresh("web")
    request = new_job(name).SerializeToString()
    frame = b"\0" + struct.pack(">I", len(request)) + request
    kind = "application/grpc-web-text" if is_text else "application/grpc-web+proto"
    answer = api.post(
        "/chronos.scheduler.v1.JobService/CreateJob",
        content=base64.b64encode(frame) if is_text else frame,
        headers={"content-type": kind, "accept": kind, "x-grpc-web": "1"},
    )
    assert answer.status_code == 200
    body = b"".join(base64.b64decode(part) for part in chunks(answer.content)) if is_text else answer.content
    assert body[0] == 0, body
    size = struct.unpack(">I", body[1:5])[0]
    assert Job.FromString(body[5 : 5 + size]).id == name


def chunks(text: bytes) -> Iterator[bytes]:
    """The separately padded base64 texts that Envoy writes one after the other."""
    start = 0
    for index in range(3, len(text), 4):
        if text[index : index + 1] == b"=" or index == len(text) - 1:
            yield text[start : index + 1]
            start = index + 1
