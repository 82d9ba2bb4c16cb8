"""What a job can rely on when its endpoint or its dispatcher fails."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import httpx
import pytest

from tests.e2e.api import created, finished, job, triggered
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh, eventually, running_mesh
from tests.e2e.receiver import Receiver, running_receiver

pytestmark = pytest.mark.mesh
PATIENT = {"max_attempts": 2, "initial_interval": "0.1s"}


@pytest.fixture(scope="module")
def guarded_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMesh]:
    with running_mesh(tmp_path_factory.mktemp("guarded") / "data", "--set", "dispatcher.breaker_open=3s") as running:
        yield running


@pytest.fixture
def guarded(guarded_mesh: RunningMesh) -> Iterator[httpx.Client]:
    with guarded_mesh.http() as client:
        yield client


def test_a_run_that_a_dead_dispatcher_held_is_repeated_or_lost_as_its_job_says(
    guarded_mesh: RunningMesh, guarded: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    least, most = fresh("least"), fresh("most")
    slow = {"schedule": "@manual", "timeout": "30s", "retry_policy": PATIENT}
    created(guarded, job(least, receiver.url("/slow/3"), **slow))
    created(guarded, job(most, receiver.url("/slow/3"), delivery_guarantee="AT_MOST_ONCE", **slow))
    runs = {name: triggered(guarded, name)["id"] for name in (least, most)}
    eventually(lambda: all(receiver.of_execution(identity) for identity in runs.values()))
    eventually(
        lambda: all(
            guarded.get(f"/api/v1/executions/{identity}").json().get("status") == "RUNNING"
            for identity in runs.values()
        )
    )
    guarded_mesh.kill("dispatcher-0")
    assert finished(guarded, runs[most], within=40)["status"] == "LOST"
    assert finished(guarded, runs[least], within=40)["status"] == "SUCCESS"
    assert len(receiver.of_execution(runs[most])) == 1
    assert len(receiver.of_execution(runs[least])) == 2


def test_runs_that_must_not_overlap_do_not_when_their_scheduler_dies(
    guarded_mesh: RunningMesh, guarded: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("no-overlap")
    created(guarded, job(name, receiver.url("/slow/3"), schedule="* * * * * *", timeout="30s"))
    eventually(lambda: receiver.of_job(name))
    guarded_mesh.kill("scheduler-0")
    eventually(lambda: len(receiver.of_job(name)) >= 3, within=40)
    guarded.post(f"/api/v1/jobs/{name}/disable", json={})
    arrivals = receiver.of_job(name)
    assert all(later.at - earlier.at >= 3 for earlier, later in pairwise(arrivals))
    assert len({delivery.headers["x-chronos-execution-id"] for delivery in arrivals}) == len(arrivals)


def test_no_short_run_is_taken_for_an_overlap_when_its_scheduler_dies(
    guarded_mesh: RunningMesh, guarded: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name, second = fresh("every-second"), timedelta(seconds=1)
    created(guarded, job(name, receiver.url("/ok"), schedule="* * * * * *"))
    eventually(lambda: len(receiver.of_job(name)) >= 2)
    before = receiver.of_job(name)[-1].scheduled_time
    guarded_mesh.kill("scheduler-0")
    eventually(lambda: receiver.of_job(name)[-1].scheduled_time >= before + 8 * second, within=40)
    guarded.post(f"/api/v1/jobs/{name}/disable", json={})
    arrived = {delivery.scheduled_time for delivery in receiver.of_job(name)}
    assert [n for n in range(9) if before + n * second not in arrived] == []


def test_a_host_that_keeps_failing_is_left_alone_and_tried_again(guarded: httpx.Client, fresh: Fresh) -> None:
    with running_receiver() as failing:
        name = fresh("failing")
        once = {"max_attempts": 1}
        created(guarded, job(name, failing.url("/status/503"), schedule="@manual", retry_policy=once))
        for _ in range(5):
            assert finished(guarded, triggered(guarded, name)["id"])["status_code"] == 503
        refused = finished(guarded, triggered(guarded, name)["id"])
        assert (refused["status"], refused["reason_code"]) == ("FAILED", "BREAKER_OPEN")
        assert len(failing.of_job(name)) == 5
        host = failing.url("").removeprefix("http://")
        listed = eventually(
            lambda: guarded.get("/api/v1/circuit-breakers", params={"host": host}).json()["circuit_breakers"]
        )
        assert (listed[0]["state"], listed[0]["failures"]) == ("OPEN", 5)
        guarded.patch(f"/api/v1/jobs/{name}", json={"webhook": {"url": failing.url("/ok")}})

        def is_closed() -> bool:
            finished(guarded, triggered(guarded, name)["id"])
            answer = guarded.get("/api/v1/circuit-breakers", params={"host": host}).json()
            return not answer.get("circuit_breakers")

        eventually(is_closed, within=20)
