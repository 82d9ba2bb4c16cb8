"""One trace through every hop, seen at a real OTLP collector and at the webhook."""

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.e2e.mesh import RunningMesh, eventually, running_mesh
from tests.e2e.receiver import Receiver

SERVICES = ("scheduler", "dispatcher", "history", "gateway")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span that is exported, with the service that sent it."""

    def __init__(self) -> None:
        self.spans: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._seen: list[tuple[str, Any]] = []

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put((names["service.name"], span))
        return trace_service_pb2.ExportTraceServiceResponse()

    def of_trace(self, trace_id: str) -> set[tuple[str, str]]:
        """(service, span name) of all spans of a trace so far."""
        while not self.spans.empty():
            self._seen.append(self.spans.get())
        return {(service, span.name) for service, span in self._seen if span.trace_id.hex() == trace_id}


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    server = grpc.server(ThreadPoolExecutor(2))
    found = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(found, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield found, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture(scope="module")
def traced_mesh(tmp_path_factory: pytest.TempPathFactory, collector: tuple[Collector, str]) -> Iterator[RunningMesh]:
    flags = []
    for service in SERVICES:
        flags += ["--set", f"{service}.otlp_endpoint={collector[1]}", "--set", f"{service}.trace_sample_ratio=1.0"]
    folder: Path = tmp_path_factory.mktemp("traced") / "data"
    with running_mesh(folder, *flags) as running:
        yield running


def test_a_scheduled_run_is_one_trace_from_firing_to_webhook(
    traced_mesh: RunningMesh, collector: tuple[Collector, str], receiver: Receiver
) -> None:
    with traced_mesh.http() as api:
        job = {"id": "traced", "name": "traced", "schedule": "* * * * * *", "webhook": {"url": receiver.url("/ok")}}
        assert api.post("/api/v1/jobs", json=job).status_code == 200
        call = eventually(lambda: next(iter(receiver.of_job("traced")), None), what=lambda: "no call")
    trace_id = call.headers["traceparent"].split("-")[1]
    assert trace_id == call.headers["x-chronos-execution-id"].replace("-", "")
    wanted = {("chronos-scheduler", "fire"), ("chronos-dispatcher", "deliver")}
    eventually(lambda: wanted <= collector[0].of_trace(trace_id), what=lambda: str(collector[0].of_trace(trace_id)))


def test_a_run_that_is_asked_for_goes_on_in_the_caller_s_trace(
    traced_mesh: RunningMesh, collector: tuple[Collector, str], receiver: Receiver
) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with traced_mesh.http() as api:
        job = {"id": "asked", "name": "asked", "schedule": "@yearly", "webhook": {"url": receiver.url("/ok")}}
        assert api.post("/api/v1/jobs", json=job).status_code == 200
        headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
        assert api.post("/api/v1/jobs/asked/trigger", json={}, headers=headers).status_code == 200
        call = eventually(lambda: next(iter(receiver.of_job("asked")), None), what=lambda: "no call")
    assert call.headers["traceparent"].split("-")[1] == trace_id
    wanted = {
        ("chronos-scheduler", "/chronos.scheduler.v1.JobService/TriggerJob"),
        ("chronos-scheduler", "fire"),
        ("chronos-dispatcher", "deliver"),
    }
    eventually(lambda: wanted <= collector[0].of_trace(trace_id), what=lambda: str(collector[0].of_trace(trace_id)))
