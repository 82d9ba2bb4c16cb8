"""What people are told about schedules before they run."""

from datetime import UTC, datetime, timedelta

import pytest
from chronos.scheduler.v1 import job_pb2, run_rules_pb2, schedule_service_pb2, stored_job_pb2, timing_pb2

from libs.faults import NotFound
from services.scheduler.timing.previews import Previews
from tests.fakes.calendars import FakeCalendarStore
from tests.fakes.clock import FakeClock
from tests.fakes.scheduler import FakeJobStore

NOW = datetime(2026, 12, 23, 12, tzinfo=UTC)
Question = schedule_service_pb2.ValidateScheduleRequest


@pytest.fixture
def jobs() -> FakeJobStore:
    return FakeJobStore()


@pytest.fixture
def previews(jobs: FakeJobStore) -> Previews:
    return Previews(jobs, FakeCalendarStore(), FakeClock(NOW))


async def test_a_good_schedule_is_described_and_its_next_runs_given(previews: Previews) -> None:
    answer = await previews.validate(Question(schedule="0 9 * * MON-FRI", timezone="Europe/Berlin"))
    assert answer.valid
    assert not answer.error
    assert "Monday to Friday" in answer.description
    assert [run.local_time for run in answer.next_runs] == [
        "2026-12-24T09:00:00+01:00",
        "2026-12-25T09:00:00+01:00",
        "2026-12-28T09:00:00+01:00",
        "2026-12-29T09:00:00+01:00",
        "2026-12-30T09:00:00+01:00",
    ]
    assert answer.next_runs[0].time == answer.next_runs[0].nominal_time


async def test_a_wrong_schedule_is_an_answer_that_names_every_problem(previews: Previews) -> None:
    question = Question(
        schedule="0 25 * * *",
        active_windows=[timing_pb2.Window(start="9 am")],
        calendars=timing_pb2.CalendarRule(exclude=["weekends", "nowhere"]),
    )
    question.start_time.FromDatetime(NOW)
    question.end_time.FromDatetime(NOW)
    answer = await previews.validate(question)
    assert not answer.valid
    assert not answer.next_runs
    assert [problem.field for problem in answer.problems] == [
        "schedule", "end_time", "calendars.exclude[1]", "active_windows[0].start",
    ]  # fmt: skip
    first = answer.problems[0]
    assert (first.part, first.position) == ("25", 2)
    assert all(problem.example for problem in answer.problems)
    assert "schedule: " in answer.error


async def test_a_job_that_runs_only_by_hand_is_fine(previews: Previews) -> None:
    answer = await previews.validate(Question(schedule="@manual"))
    assert answer.valid
    assert answer.description == "Only when it is asked for"


async def test_an_unknown_zone_is_the_problem_of_timezone_alone(previews: Previews) -> None:
    answer = await previews.validate(Question(schedule="0 9 * * *", timezone="Europe/Berln"))
    assert [problem.field for problem in answer.problems] == ["timezone"]


async def test_from_count_and_job_are_heeded(previews: Previews) -> None:
    question = Question(schedule="H 9 * * *", count=2, job_id="a")
    getattr(question, "from").FromDatetime(datetime(2027, 6, 1))
    answer = await previews.validate(question)
    assert [run.local_time[:13] for run in answer.next_runs] == ["2027-06-01T09", "2027-06-02T09"]


async def put(jobs: FakeJobStore, job: job_pb2.Job) -> None:
    job.namespace, job.id, job.enabled = "default", "a", True
    stored = stored_job_pb2.StoredJob(job=job)
    for name in ("effective_at", "counts_from"):
        getattr(stored, name).FromDatetime(NOW - timedelta(days=1))
    stored.job.created_at.FromDatetime(NOW - timedelta(days=1))
    await jobs.insert(stored)


async def test_next_runs_tell_what_was_removed_between_them(jobs: FakeJobStore, previews: Previews) -> None:
    rule = timing_pb2.CalendarRule(exclude=["weekends"])
    await put(jobs, job_pb2.Job(schedule="0 9,10 * * *", calendars=rule))
    runs, note = await previews.next_runs("", "a", count=5, after=None)
    assert [(run.local_time[5:16], run.is_removed, run.count) for run in runs] == [
        ("12-24T09:00", False, 1),
        ("12-24T10:00", False, 1),
        ("12-25T09:00", False, 1),
        ("12-25T10:00", False, 1),
        ("12-26T09:00", True, 2),
        ("12-27T09:00", True, 2),
        ("12-28T09:00", False, 1),
    ]
    assert runs[4].notes[0] == "calendar weekends excludes 2026-12-26"
    assert not runs[4].HasField("time")
    assert note == ""


async def test_a_job_that_will_not_run_says_why(jobs: FakeJobStore, previews: Previews) -> None:
    with pytest.raises(NotFound):
        await previews.next_runs("", "a", count=0, after=None)
    await put(jobs, job_pb2.Job(schedule="0 9 * * *", max_runs=3))
    runs, note = await previews.next_runs("", "a", count=0, after=None)
    assert len(runs) == 2
    assert "max_runs, which is 3" in note
    jobs.jobs["default", "a"].stored.job.enabled = False
    assert "disabled" in (await previews.next_runs("", "a", count=0, after=None))[1]
    jobs.jobs.clear()
    await put(jobs, job_pb2.Job(dependencies=run_rules_pb2.Dependencies(depends_on=["b", "c"])))
    assert "b, c" in (await previews.next_runs("", "a", count=0, after=None))[1]
    jobs.jobs.clear()
    await put(jobs, job_pb2.Job())
    assert "asked for" in (await previews.next_runs("", "a", count=0, after=None))[1]
    jobs.jobs.clear()
    await put(jobs, job_pb2.Job(schedule="0 9 * * *", calendars=timing_pb2.CalendarRule(exclude=["gone"])))
    assert "calendars.exclude[0]" in (await previews.next_runs("", "a", count=0, after=None))[1]
