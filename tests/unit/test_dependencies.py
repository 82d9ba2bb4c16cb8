"""What a job may depend on."""

from datetime import timedelta

import pytest
from chronos.scheduler.v1 import job_pb2, run_rules_pb2

from libs.faults import WrongState
from services.scheduler.jobs.dependencies import Dependencies
from tests.fakes.dependencies import FakeDependencyStore


def job(job_id: str, *parents: str, schedule: str = "") -> job_pb2.Job:
    dependencies = run_rules_pb2.Dependencies(depends_on=parents)
    return job_pb2.Job(namespace="default", id=job_id, schedule=schedule, dependencies=dependencies)


async def fields(checks: Dependencies, wish: job_pb2.Job) -> dict[str, str]:
    return {found.field: found.description for found in await checks.check(wish)}


async def test_a_job_may_depend_on_jobs_that_exist() -> None:
    checks = Dependencies(FakeDependencyStore({"a": (), "b": ("a",)}))
    assert await fields(checks, job("c", "a", "b")) == {}
    assert await fields(checks, job("c", schedule="* * * * *")) == {}


async def test_a_job_that_does_not_exist_is_named_with_its_place() -> None:
    found = await fields(Dependencies(FakeDependencyStore({"a": ()})), job("c", "a", "gone"))
    assert "gone" in found["dependencies.depends_on[1]"]


async def test_a_cycle_is_refused_and_named() -> None:
    checks = Dependencies(FakeDependencyStore({"a": (), "b": ("a",), "c": ("b",)}))
    found = await fields(checks, job("a", "c"))
    assert "a → c → b → a" in found["dependencies.depends_on[0]"]


async def test_a_job_has_either_dependencies_or_a_schedule() -> None:
    found = await fields(Dependencies(FakeDependencyStore({"a": ()})), job("c", "a", schedule="* * * * *"))
    assert "leave schedule empty" in found["dependencies.depends_on"]


async def test_conditions_without_dependencies_are_refused() -> None:
    wish = job("c")
    wish.dependencies.condition = run_rules_pb2.Dependencies.ANY_SUCCESS
    wish.dependencies.timeout.FromTimedelta(timedelta(hours=1))
    found = await fields(Dependencies(FakeDependencyStore()), wish)
    assert found.keys() == {"dependencies.condition", "dependencies.timeout"}


async def test_a_job_that_others_depend_on_cannot_be_deleted() -> None:
    checks = Dependencies(FakeDependencyStore({"a": (), **{f"c{n}": ("a",) for n in range(7)}}))
    with pytest.raises(WrongState, match="c0, c1, c2, c3, c4 and others"):
        await checks.check_delete("default", "a")
    await checks.check_delete("default", "c0")
