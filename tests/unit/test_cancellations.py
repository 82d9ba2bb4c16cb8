"""Wishes to stop executions."""

import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.faults import NotFound, WrongState
from services.scheduler.runs.cancellations import Cancellations
from tests.fakes.clock import FakeClock
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeCancelStore, FakeJobFinder, FakeTriggerStore

Execution = execution_pb2.Execution


class Stage:
    """Cancellations with everything that they need, and a job."""

    def __init__(self) -> None:
        self.jobs = FakeJobStore()
        self.ledger = FakeLedger()
        self.store = FakeTriggerStore()
        self.cancellations = Cancellations(
            FakeJobFinder(self.jobs), FakeCancelStore(self.store), self.ledger, FakeClock()
        )

    def record(self, status: "Execution.Status.ValueType") -> None:
        self.ledger.executions = [Execution(id="e1", namespace="default", job_id="a", status=status)]

    async def cancel(self, job_id: str = "", *, reason: str = "why not", actor: str = "key-1") -> Execution:
        return await self.cancellations.cancel("", job_id, "e1", reason=reason, actor=actor)


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.jobs.insert(stored_job_pb2.StoredJob(job=job_pb2.Job(namespace="default", id="a", name="A")))
    return stage


@pytest.mark.parametrize("status", [Execution.PENDING, Execution.RUNNING])
async def test_the_wish_is_kept_and_the_execution_answered_as_it_is(
    stage: Stage, status: "Execution.Status.ValueType"
) -> None:
    stage.record(status)
    assert (await stage.cancel()).status == status
    wish = stage.store.cancels["e1"]
    assert (wish.namespace, wish.job_id, wish.reason, wish.actor) == ("default", "a", "why not", "key-1")
    assert wish.HasField("time")


async def test_a_second_wish_changes_nothing(stage: Stage) -> None:
    stage.record(Execution.RUNNING)
    await stage.cancel()
    await stage.cancel(reason="again", actor="key-2")
    assert stage.store.cancels["e1"].reason == "why not"


async def test_a_promise_that_has_no_record_yet_can_be_cancelled(stage: Stage) -> None:
    stage.store.triggers["e1"] = stored_job_pb2.StoredTrigger(execution_id="e1", namespace="default", job_id="a")
    execution = await stage.cancel("a")
    assert (execution.id, execution.job_name, execution.status) == ("e1", "A", Execution.PENDING)
    assert "e1" in stage.store.cancels


@pytest.mark.parametrize(
    "status",
    [
        Execution.SUCCESS, Execution.FAILED, Execution.SKIPPED, Execution.TIMED_OUT, Execution.CANCELLED,
        Execution.LOST,
    ],
)  # fmt: skip
async def test_what_has_ended_cannot_be_cancelled(stage: Stage, status: "Execution.Status.ValueType") -> None:
    stage.record(status)
    with pytest.raises(WrongState, match=Execution.Status.Name(status)):
        await stage.cancel()
    assert not stage.store.cancels


async def test_what_is_not_there_or_belongs_to_another_job_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.cancel()
    stage.record(Execution.RUNNING)
    with pytest.raises(NotFound, match='job "b"'):
        await stage.cancel("b")
    stage.ledger.executions.clear()
    stage.store.triggers["e1"] = stored_job_pb2.StoredTrigger(execution_id="e1", namespace="default", job_id="gone")
    with pytest.raises(NotFound):
        await stage.cancel()
