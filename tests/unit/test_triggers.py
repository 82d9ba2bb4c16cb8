"""Runs that somebody asks for."""

import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.faults import NotFound
from services.scheduler.runs.triggers import Triggers
from tests.fakes.clock import FakeClock
from tests.fakes.policies import no_policies
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeJobFinder, FakeTriggerStore

Execution = execution_pb2.Execution


class Stage:
    """Triggers with everything that they need, and a job."""

    def __init__(self) -> None:
        self.jobs = FakeJobStore()
        self.store = FakeTriggerStore()
        self.ledger = FakeLedger()
        self.triggers = Triggers(FakeJobFinder(self.jobs), self.store, self.ledger, no_policies(), FakeClock())


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    job = job_pb2.Job(namespace="default", id="a", uid="u1", name="A", version=4)
    await stage.jobs.insert(stored_job_pb2.StoredJob(job=job))
    return stage


async def test_the_promise_says_who_asked_and_how_it_gets_along_with_others(stage: Stage) -> None:
    execution = await stage.triggers.trigger("", "a", request_id="", concurrency=job_pb2.Job.QUEUE, actor="key-1")
    (trigger,) = stage.store.triggers.values()
    assert (trigger.concurrency, trigger.actor, trigger.job_uid) == (job_pb2.Job.QUEUE, "key-1", "u1")
    assert trigger.cause == Execution.MANUAL
    assert (execution.id, execution.cause, execution.actor, execution.job_version) == (
        trigger.execution_id, Execution.MANUAL, "key-1", 4,
    )  # fmt: skip
    (note,) = stage.ledger.notes
    assert note.execution == execution


async def test_a_repeated_request_id_answers_the_first_execution(stage: Stage) -> None:
    first = await stage.triggers.trigger("", "a", request_id="r", actor="key-1")
    second = await stage.triggers.trigger("", "a", request_id="r", actor="key-2")
    assert second == first


async def test_a_promise_holds_without_history_and_without_an_owner(stage: Stage) -> None:
    stage.ledger.is_away = True
    await stage.triggers.trigger("", "a", request_id="")
    stage.store.epoch = 0
    await stage.triggers.trigger("", "a", request_id="")
    assert len(stage.store.triggers) == 2
    assert not stage.ledger.notes


async def test_a_job_that_is_not_there_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.triggers.trigger("", "b", request_id="")
