"""What targets ask of the API."""

import asyncio

import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import completion_pb2, job_pb2, stored_job_pb2

from libs.faults import NotFound, Unavailable, WrongState
from services.scheduler.ports.ledger import Status
from services.scheduler.runs.completions import PATIENCE, PAUSE, ExecutionCompletions
from tests.fakes.clock import FakeClock
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeCompletionStore, FakeVersionStore

Execution = execution_pb2.Execution


class Stage:
    """The use case over fakes, with a job whose first version is asynchronous and whose second is not."""

    def __init__(self) -> None:
        self.clock, self.ledger, self.store, self.jobs = (
            FakeClock(),
            FakeLedger(),
            FakeCompletionStore(),
            FakeJobStore(),
        )
        self.completions = ExecutionCompletions(FakeVersionStore(self.jobs), self.store, self.ledger, self.clock)

    def record(self, status: Status, *, version: int = 1, **fields: object) -> None:
        execution = Execution(id="e1", namespace="default", job_id="a", status=status, job_version=version, delivery=2)
        execution.MergeFrom(Execution(**fields))  # type: ignore[arg-type]
        self.ledger.executions = [execution]

    def later(self) -> None:
        """What happens while the call waits."""

    async def complete(self, status: Status = Execution.STATUS_UNSPECIFIED, *, job_id: str = "") -> Execution:
        asked = asyncio.create_task(
            self.completions.complete("", job_id, "e1", status=status, response="42", error="", actor="key-1")
        )
        for _ in range(PATIENCE // PAUSE + 2):
            await self.clock.advance(PAUSE)
            self.later()
        return await asked


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    job = job_pb2.Job(namespace="default", id="a", version=1, completion=completion_pb2.Completion())
    first = await stage.jobs.insert(stored_job_pb2.StoredJob(job=job))
    job.version = 2
    job.ClearField("completion")
    await stage.jobs.replace(stored_job_pb2.StoredJob(job=job), revision=first.revision)
    return stage


async def test_the_end_is_kept_with_what_came_of_it(stage: Stage) -> None:
    stage.record(Execution.RUNNING, reason_code=Execution.ACCEPTED, status_code=202)
    assert (await stage.complete()).status == Execution.RUNNING
    end = stage.store.kept["e1"].execution
    assert (end.status, end.response, end.status_code, end.delivery) == (Execution.SUCCESS, "42", 202, 2)
    assert end.reason == "completed by key-1"
    assert end.HasField("completed_at")


async def test_telling_the_same_again_changes_nothing(stage: Stage) -> None:
    stage.record(Execution.RUNNING, reason_code=Execution.ACCEPTED)
    await stage.complete()
    await stage.complete(Execution.SUCCESS)
    stage.record(Execution.SUCCESS)
    assert (await stage.complete()).status == Execution.SUCCESS


async def test_the_first_end_counts(stage: Stage) -> None:
    stage.record(Execution.RUNNING, reason_code=Execution.ACCEPTED)
    await stage.complete()
    with pytest.raises(WrongState, match="SUCCESS"):
        await stage.complete(Execution.FAILED)
    stage.record(Execution.TIMED_OUT)
    with pytest.raises(WrongState, match="TIMED_OUT"):
        await stage.complete()


async def test_a_target_may_know_what_became_of_a_lost_run(stage: Stage) -> None:
    stage.record(Execution.LOST, reason_code=Execution.INTERRUPTED)
    await stage.complete(Execution.FAILED)
    assert stage.store.kept["e1"].execution.status == Execution.FAILED


def record_meanwhile(stage: Stage, patch: pytest.MonkeyPatch, status: Status, *, is_settled: bool) -> None:
    """The ledger has an end before the call has put its own, and after it has looked."""
    stage.record(Execution.RUNNING, reason_code=Execution.ACCEPTED)
    add = stage.store.add

    async def add_late(completion: stored_job_pb2.StoredCompletion) -> stored_job_pb2.StoredCompletion:
        stage.record(status, is_settled=is_settled)
        return await add(completion)

    patch.setattr(stage.store, "add", add_late)


@pytest.mark.parametrize(("status", "is_settled"), [(Execution.CANCELLED, True), (Execution.SUCCESS, False)])
async def test_an_end_that_was_recorded_and_forgotten_while_the_call_was_under_way_counts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, status: Status, is_settled: bool
) -> None:
    record_meanwhile(stage, monkeypatch, status, is_settled=is_settled)
    with pytest.raises(WrongState, match=Execution.Status.Name(status)):
        await stage.complete(Execution.FAILED)


async def test_a_delivery_that_failed_while_the_call_was_under_way_does_not_count(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_meanwhile(stage, monkeypatch, Execution.TIMED_OUT, is_settled=False)
    await stage.complete()
    assert stage.store.kept["e1"].execution.status == Execution.SUCCESS


async def test_a_target_may_be_done_before_it_has_answered(stage: Stage) -> None:
    stage.record(Execution.RUNNING)
    await stage.complete()
    assert "e1" in stage.store.kept


async def test_an_answer_that_is_the_end_leaves_nothing_to_complete(stage: Stage) -> None:
    stage.record(Execution.RUNNING, version=2)
    with pytest.raises(WrongState, match="give the job a `completion`"):
        await stage.complete()
    assert not stage.store.kept


async def test_a_begin_that_is_not_recorded_yet_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.record(Execution.PENDING)
    monkeypatch.setattr(stage, "later", lambda: stage.record(Execution.RUNNING))
    await stage.complete()
    assert "e1" in stage.store.kept


async def test_what_has_not_begun_or_is_not_there_is_refused(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.complete()
    stage.record(Execution.PENDING)
    with pytest.raises(Unavailable, match="try again") as caught:
        await stage.complete()
    assert caught.value.reason == "NOT_BEGUN"
    stage.record(Execution.RUNNING)
    with pytest.raises(NotFound, match='job "b"'):
        await stage.complete(job_id="b")
