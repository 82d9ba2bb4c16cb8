"""The RPC edge of what can be done with runs: each request reaches its use case whole."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import job_pb2, run_service_pb2, stored_job_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from libs.rpc import context as calls
from services.scheduler.runs.backfills import Backfills
from services.scheduler.runs.cancellations import Cancellations
from services.scheduler.runs.completions import ExecutionCompletions
from services.scheduler.runs.explanations import Explanations
from services.scheduler.runs.replays import Replays
from services.scheduler.runs.triggers import Triggers
from services.scheduler.servicer.runs import Context, RunServicer
from tests.fakes.clock import FakeClock
from tests.fakes.policies import no_policies
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import (
    FakeCancelStore,
    FakeCompletionStore,
    FakeJobFinder,
    FakeSchedules,
    FakeTriggerStore,
    FakeVersionStore,
)

Execution = execution_pb2.Execution
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NO_CONTEXT = cast(Context, None)
RUNNING = "0193803e-2a80-8000-8000-000000000001"


class Stage:
    """The whole service over fakes, with an hourly job and a run of it."""

    def __init__(self) -> None:
        self.jobs, self.store, self.ledger, clock = FakeJobStore(), FakeTriggerStore(), FakeLedger(), FakeClock(NOW)
        finder, schedules, versions = FakeJobFinder(self.jobs), FakeSchedules(), FakeVersionStore(self.jobs)
        triggers = Triggers(finder, self.store, self.ledger, no_policies(), clock)
        self.servicer = RunServicer(
            jobs=finder,
            backfills=Backfills(triggers, schedules, self.ledger, no_policies(), clock),
            replays=Replays(finder, versions, triggers, self.ledger, no_policies(), clock),
            cancellations=Cancellations(finder, FakeCancelStore(self.store), self.ledger, clock),
            completions=ExecutionCompletions(versions, FakeCompletionStore(), self.ledger, clock),
            explanations=Explanations(finder, versions, schedules, self.ledger, clock),
        )


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    job = job_pb2.Job(namespace="team", id="a", uid="u1", version=1, schedule="0 * * * *", timezone="UTC", enabled=True)
    job.webhook.url = "https://example.com/hook"
    for field in (job.created_at, job.updated_at):
        field.FromDatetime(NOW - timedelta(days=2))
    await stage.jobs.insert(stored_job_pb2.StoredJob(job=job, effective_at=job.created_at))
    run = Execution(id=RUNNING, namespace="team", job_id="a", job_uid="u1", job_version=1, status=Execution.RUNNING)
    run.scheduled_time.CopyFrom(stamp(timedelta(minutes=30)))
    stage.ledger.executions.append(run)
    stage.ledger.definitions[RUNNING] = ledger_service_pb2.Definition(job=job.SerializeToString())
    return stage


@pytest.fixture(autouse=True)
def caller() -> Iterator[None]:
    with calls.scope(calls.RequestContext(request_id="r", principal=calls.Principal(id="key-1", name="k"))):
        yield


def stamp(ago: timedelta) -> Timestamp:
    """A moment before now."""
    timestamp = Timestamp()
    timestamp.FromDatetime(NOW - ago)
    return timestamp


async def test_a_backfill_runs_the_range_for_its_caller(stage: Stage) -> None:
    request = run_service_pb2.BackfillJobRequest(
        namespace="team", job_id="a", to=stamp(timedelta(0)), concurrency=job_pb2.Job.ALLOW
    )
    getattr(request, "from").CopyFrom(stamp(timedelta(hours=2)))
    answer = await stage.servicer.BackfillJob(request, NO_CONTEXT)
    assert [each.actor for each in answer.executions] == ["key-1", "key-1"]
    assert [each.concurrency for each in stage.store.triggers.values()] == [job_pb2.Job.ALLOW] * 2


async def test_a_replay_is_made_with_its_changes(stage: Stage) -> None:
    request = run_service_pb2.ReplayExecutionRequest(namespace="team", id=RUNNING, skip_retries=True)
    request.changes.method = "PUT"
    answer = await stage.servicer.ReplayExecution(request, NO_CONTEXT)
    (trigger,) = stage.store.triggers.values()
    assert (answer.replay_of, trigger.recorded.webhook.method, trigger.skip_retries, trigger.actor) == (
        RUNNING, "PUT", True, "key-1",
    )  # fmt: skip


async def test_a_cancellation_is_kept_with_its_reason(stage: Stage) -> None:
    request = run_service_pb2.CancelExecutionRequest(namespace="team", job_id="a", id=RUNNING, reason="wrong data")
    assert (await stage.servicer.CancelExecution(request, NO_CONTEXT)).id == RUNNING
    assert (stage.store.cancels[RUNNING].reason, stage.store.cancels[RUNNING].actor) == ("wrong data", "key-1")


async def test_an_explanation_is_of_the_time_asked_for(stage: Stage) -> None:
    request = run_service_pb2.ExplainJobRequest(namespace="team", job_id="a", at=stamp(timedelta(minutes=30)))
    answer = await stage.servicer.ExplainJob(request, NO_CONTEXT)
    assert (answer.verdict, answer.execution.id) == (run_service_pb2.ExplainJobResponse.PENDING, RUNNING)
