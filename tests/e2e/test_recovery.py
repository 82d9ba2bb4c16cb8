"""Any one process is killed while a job fires every second: no second is missed. Evidence is taken at the receiver."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest

from tests.e2e.api import created, job
from tests.e2e.mesh import REPLICAS, RunningMesh, eventually, running_mesh
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh
JOBS = ("every-second-a", "every-second-b", "every-second-c", "every-second-d")
SECOND = timedelta(seconds=1)
RECOVERED_WITHIN = 40.0


@pytest.fixture(scope="module")
def fragile_mesh(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[RunningMesh]:
    """A mesh of its own, with jobs that fire every second, spread over both schedulers."""
    with running_mesh(tmp_path_factory.mktemp("fragile") / "data", "--replicas", REPLICAS) as running:
        with running.http() as api:
            for name in JOBS:
                created(api, job(name, receiver.url("/ok"), schedule="* * * * * *", concurrency="ALLOW"))
        eventually(lambda: all(fired(receiver, name) for name in JOBS))
        yield running


def fired(receiver: Receiver, name: str) -> set[datetime]:
    """The occurrences of a job that arrived."""
    return {delivery.scheduled_time for delivery in receiver.of_job(name)}


def latest(receiver: Receiver) -> datetime:
    """The occurrence up to which every job has arrived."""
    return min(max(fired(receiver, name)) for name in JOBS)


def missing(receiver: Receiver, since: datetime, until: datetime) -> list[tuple[str, datetime]]:
    """Occurrences in between that no job may lack."""
    wanted = [since + n * SECOND for n in range(int((until - since) / SECOND) + 1)]
    return [(name, moment) for name in JOBS for moment in wanted if moment not in fired(receiver, name)]


@pytest.mark.parametrize(
    "replica", ["scheduler-0", "scheduler-1", "dispatcher-0", "history-0", "gateway-0", "envoy-0", "etcd-0"]
)
def test_no_occurrence_is_missed_when_a_process_is_killed(
    fragile_mesh: RunningMesh, receiver: Receiver, replica: str
) -> None:
    before = latest(receiver)
    pid = fragile_mesh.kill(replica)
    eventually(
        lambda: fragile_mesh.processes()[replica]["pid"] not in (None, pid),
        within=RECOVERED_WITHIN,
        what=lambda: fragile_mesh.processes()[replica],
    )
    target = before + 8 * SECOND
    eventually(
        lambda: latest(receiver) >= target and not missing(receiver, before, target),
        within=RECOVERED_WITHIN,
        what=lambda: (before, target, missing(receiver, before, target)),
    )
    with fragile_mesh.http() as api:
        eventually(
            lambda: api.get("/api/v1/cluster/status").json().get("is_healthy"),
            within=RECOVERED_WITHIN,
            what=lambda: api.get("/api/v1/cluster/status").text,
        )


def test_each_occurrence_is_recorded_once_and_has_one_id(fragile_mesh: RunningMesh, receiver: Receiver) -> None:
    until = latest(receiver)
    with fragile_mesh.http() as api:
        for name in JOBS:
            moments = sorted(moment for moment in fired(receiver, name) if moment <= until)
            ids = {(d.scheduled_time, d.headers["x-chronos-execution-id"]) for d in receiver.of_job(name)}
            assert max(Counter(moment for moment, _ in ids).values()) == 1
            path = f"/api/v1/jobs/{name}/executions"
            recorded = eventually(lambda path=path, last=moments[-1]: recorded_up_to(api, path, last))  # type: ignore[misc]
            assert max(recorded.values()) == 1
            assert [moment for moment in moments if moment not in recorded] == []


def recorded_up_to(api: httpx.Client, path: str, last: datetime) -> Counter[datetime] | None:
    answer = api.get(path, params={"page_size": 1000}).json()
    moments = Counter(datetime.fromisoformat(execution["scheduled_time"]) for execution in answer["executions"])
    return moments if last in moments else None
