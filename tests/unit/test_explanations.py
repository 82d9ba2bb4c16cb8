"""Why a job ran or did not run at a time."""

from datetime import UTC, datetime, timedelta

import pytest
from chronos.history.v1 import execution_pb2
from chronos.policy.v1.decision_pb2 import Decision, RuleResult
from chronos.scheduler.v1 import job_pb2, run_service_pb2, stored_job_pb2, timing_pb2
from google.protobuf.struct_pb2 import Value

from libs.faults import NotFound
from services.scheduler.domain.identity import execution_id, microseconds
from services.scheduler.domain.reasons import SENTENCES
from services.scheduler.domain.schedule.calendar import DaySet, day_set
from services.scheduler.policies.standing import denial_of
from services.scheduler.runs.explanations import Explanations
from tests.fakes.clock import FakeClock
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeJobFinder, FakeSchedules, FakeVersionStore

Execution = execution_pb2.Execution
Response = run_service_pb2.ExplainJobResponse
Job = job_pb2.Job
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 9, 12, 0, 30, tzinfo=UTC)  # a Friday
DUE = datetime(2026, 1, 8, 8, tzinfo=UTC)  # Thursday, 09:00 in Berlin
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class Stage:
    """Explanations with everything that they need."""

    def __init__(self) -> None:
        self.jobs = FakeJobStore()
        self.ledger = FakeLedger()
        self.calendars: dict[str, DaySet] = {}
        self.clock = FakeClock(NOW)
        self.explanations = Explanations(
            FakeJobFinder(self.jobs),
            FakeVersionStore(self.jobs),
            FakeSchedules(self.calendars),
            self.ledger,
            self.clock,
        )

    async def write(
        self, made: datetime = CREATED, *, author: str = "key-1", **fields: object
    ) -> stored_job_pb2.StoredJob:
        """The next version of the job, made at a time."""
        current = await self.jobs.get("default", "report")
        version = current.stored.job.version + 1 if current else 1
        job = Job(
            namespace="default", id="report", uid="u1", name="Report", version=version, updated_by=author, enabled=True,
            schedule="0 9 * * MON-FRI", timezone="Europe/Berlin",
        )  # fmt: skip
        for name, value in fields.items():
            if hasattr(value, "DESCRIPTOR"):
                getattr(job, name).CopyFrom(value)
            elif isinstance(value, list):
                getattr(job, name).extend(value)
            else:
                setattr(job, name, value)
        job.created_at.FromDatetime(CREATED)
        job.updated_at.FromDatetime(made)
        stored = stored_job_pb2.StoredJob(job=job)
        stored.effective_at.FromDatetime(made)
        await (self.jobs.replace(stored, revision=current.revision) if current else self.jobs.insert(stored))
        return stored

    def record(self, time: datetime, status: "Execution.Status.ValueType", **fields: object) -> Execution:
        cause = fields.setdefault("cause", Execution.SCHEDULE)
        identity = (
            execution_id("u1", microseconds(time))
            if cause == Execution.SCHEDULE
            else f"e-{len(self.ledger.executions)}"
        )
        execution = Execution(
            id=identity, namespace="default", job_id="report", job_uid="u1", status=status, **fields  # type: ignore[arg-type]
        )  # fmt: skip
        execution.scheduled_time.FromDatetime(time)
        self.ledger.executions.append(execution)
        return execution

    async def explain(self, at: datetime | None = DUE) -> run_service_pb2.ExplainJobResponse:
        return await self.explanations.explain("", "report", at)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def text(answer: run_service_pb2.ExplainJobResponse) -> str:
    return "\n".join([answer.summary, *answer.facts])


async def test_it_ran(stage: Stage) -> None:
    await stage.write()
    recorded = stage.record(DUE, Execution.SUCCESS, attempt_count=2, status_code=204)
    recorded.started_at.FromDatetime(DUE)
    recorded.completed_at.FromDatetime(DUE + timedelta(milliseconds=250))
    answer = await stage.explain()
    assert answer.verdict == Response.RAN
    assert answer.summary == "The run of Thu 2026-01-08 09:00:00 Europe/Berlin (08:00:00 UTC) succeeded."
    assert "2 attempts, status code 204" in answer.facts[0]
    assert "ended Thu 2026-01-08 09:00:00.25 Europe/Berlin" in answer.facts[0]
    assert "version 1 was in force" in answer.facts[-1]
    assert answer.execution.id == recorded.id
    assert answer.job_version == 1
    assert answer.previous_run.ToDatetime(UTC) == DUE
    assert answer.next_run.ToDatetime(UTC) == DUE + DAY


@pytest.mark.parametrize(
    ("status", "fields", "words"),
    [
        (Execution.FAILED, {"error": "status code 500"}, "failed: status code 500"),
        (Execution.TIMED_OUT, {"error": "no answer in 30 s"}, "timed out: no answer in 30 s"),
        (Execution.LOST, {"reason_code": Execution.INTERRUPTED}, "began, and nobody knows how it ended"),
        (Execution.FAILED, {"reason_code": Execution.BREAKER_OPEN}, "circuit breaker"),
    ],
)
async def test_it_ran_and_did_not_succeed(
    stage: Stage, status: "Execution.Status.ValueType", fields: dict[str, object], words: str
) -> None:
    await stage.write()
    stage.record(DUE, status, **fields)
    answer = await stage.explain()
    assert answer.verdict == Response.RAN
    assert words in answer.summary


async def test_it_was_begun_and_cancelled(stage: Stage) -> None:
    await stage.write()
    recorded = stage.record(DUE, Execution.CANCELLED, reason_code=Execution.CANCELLED_BY_USER, reason="wrong data")
    assert (await stage.explain()).verdict == Response.SKIPPED
    recorded.started_at.FromDatetime(DUE)
    answer = await stage.explain()
    assert answer.verdict == Response.RAN
    assert "somebody cancelled it (wrong data)" in answer.summary


@pytest.mark.parametrize("code", [value for value in Execution.Reason.values() if value])
async def test_every_reason_has_its_sentence_and_its_verdict(stage: Stage, code: "Execution.Reason.ValueType") -> None:
    name = Execution.Reason.Name(code)
    await stage.write()
    stage.record(DUE, Execution.SKIPPED, reason_code=code, reason="details")
    answer = await stage.explain()
    assert f"{SENTENCES[name]} (details)." in answer.summary
    expected = {
        "PAUSED": Response.DISABLED,
        "CALENDAR": Response.REMOVED,
        "WINDOW": Response.REMOVED,
        "DST": Response.REMOVED,
    }
    assert answer.verdict == expected.get(name, Response.SKIPPED)
    assert answer.execution.reason_code == code


async def test_a_run_that_policies_skipped_tells_policy_rule_value_and_who_asked(stage: Stage) -> None:
    await stage.write()
    broken = RuleResult(
        policy_id="owners", rule_id="has-owner", message="each job needs an owner", field="tags.owner",
        actual_value=Value(string_value="nobody"),
    )  # fmt: skip
    stage.record(
        DUE, Execution.SKIPPED, reason_code=Execution.POLICY, reason=denial_of(Decision(violations=[broken])),
        cause=Execution.MANUAL, actor="key-9",
    )  # fmt: skip
    answer = await stage.explain()
    assert answer.verdict == Response.SKIPPED
    for words in (
        "policies do not let it run",
        "owners",
        "has-owner",
        "each job needs an owner",
        "tags.owner",
        "nobody",
    ):
        assert words in answer.summary
    assert "by key-9" in answer.facts[0]


async def test_a_record_of_a_stretch_tells_about_the_runs_in_it(stage: Stage) -> None:
    await stage.write()
    recorded = stage.record(DUE - 2 * DAY, Execution.SKIPPED, reason_code=Execution.MISSED, skipped_count=3)
    recorded.skipped_until.FromDatetime(DUE)
    answer = await stage.explain(DUE - DAY)
    assert answer.verdict == Response.SKIPPED
    assert answer.summary.startswith("The runs from Tue 2026-01-06 09:00:00")
    assert "noticed too late" in answer.summary
    assert "3 runs" in answer.facts[0]
    assert (await stage.explain(DUE - DAY + HOUR)).verdict == Response.NOT_DUE


async def test_it_is_under_way_or_waits(stage: Stage) -> None:
    await stage.write()
    recorded = stage.record(DUE, Execution.RUNNING)
    assert (await stage.explain()).summary.endswith("is under way.")
    recorded.status = Execution.PENDING
    answer = await stage.explain()
    assert (answer.verdict, answer.summary.endswith("waits for its start.")) == (Response.PENDING, True)


async def test_it_is_due_just_now_and_has_no_record_yet(stage: Stage) -> None:
    await stage.write(schedule="0 12 * * *", timezone="UTC")
    answer = await stage.explain(NOW)
    assert answer.verdict == Response.NOT_DUE  # half a minute after noon is not noon
    answer = await stage.explain(NOW.replace(second=0))
    assert (answer.verdict, answer.summary.endswith("is due, and on its way.")) == (Response.PENDING, True)


async def test_it_was_not_due_and_the_nearest_runs_are_told(stage: Stage) -> None:
    await stage.write()
    answer = await stage.explain(DUE + 3 * HOUR)
    assert answer.verdict == Response.NOT_DUE
    assert answer.summary == "The schedule has no run at Thu 2026-01-08 12:00:00 Europe/Berlin (11:00:00 UTC)."
    assert 'the schedule "0 9 * * MON-FRI" (' in answer.facts[0]
    assert "the nearest are Thu 2026-01-08 09:00:00" in answer.facts[0]
    assert "and Fri 2026-01-09 09:00:00" in answer.facts[0]
    assert answer.previous_run.ToDatetime(UTC) == DUE
    assert answer.next_run.ToDatetime(UTC) == DUE + DAY
    assert not answer.HasField("execution")


async def test_a_whole_minute_means_any_run_in_it(stage: Stage) -> None:
    await stage.write(schedule="17 0 9 * * *")
    stage.record(DUE + timedelta(seconds=17), Execution.SUCCESS)
    assert (await stage.explain(DUE)).verdict == Response.RAN
    assert (await stage.explain(DUE + timedelta(seconds=17, milliseconds=3))).verdict == Response.RAN
    assert (await stage.explain(DUE + timedelta(seconds=16))).verdict == Response.NOT_DUE


async def test_a_run_that_jitter_delays_is_found_by_its_own_time(stage: Stage) -> None:
    jitter = Job()
    jitter.jitter.FromTimedelta(timedelta(hours=2))
    stored = await stage.write(jitter=jitter.jitter)
    schedule = await FakeSchedules().of(stored)
    assert schedule is not None
    fires = schedule.next_after(DUE)
    assert fires is not None
    stage.record(fires, Execution.SUCCESS)
    answer = await stage.explain(DUE)
    assert answer.verdict == Response.RAN
    assert "by jitter" in text(answer)


async def test_it_was_disabled_by_somebody_for_a_while(stage: Stage) -> None:
    await stage.write()
    await stage.write(DUE - 3 * DAY, author="key-2", enabled=False)
    await stage.write(DUE - 2 * DAY, author="key-3", enabled=False, description="changed meanwhile")
    await stage.write(DUE + HOUR, author="key-4")
    answer = await stage.explain()
    assert answer.verdict == Response.DISABLED
    assert answer.job_version == 3
    assert "it was disabled by key-2 (version 2) from Mon 2026-01-05 09:00:00" in answer.facts[0]
    assert "to Thu 2026-01-08 10:00:00 Europe/Berlin (09:00:00 UTC), when it was enabled by key-4" in answer.facts[0]
    assert not answer.HasField("next_run")
    assert (await stage.explain(DUE + DAY)).verdict == Response.UNKNOWN


async def test_it_is_disabled_still_and_was_not_due_either(stage: Stage) -> None:
    await stage.write(enabled=False)
    answer = await stage.explain(DUE + HOUR)
    assert answer.verdict == Response.NOT_DUE
    assert "it was disabled by key-1 (version 1) from Thu 2026-01-01 01:00:00 Europe/Berlin (00:00:00 UTC) on" in text(
        answer
    )


async def test_there_was_no_such_job_yet(stage: Stage) -> None:
    await stage.write()
    answer = await stage.explain(CREATED - DAY)
    assert answer.verdict == Response.NOT_THERE
    assert "created at Thu 2026-01-01 01:00:00" in answer.summary
    with pytest.raises(NotFound):
        await stage.explanations.explain("", "nope", None)


async def test_the_time_has_not_come_yet(stage: Stage) -> None:
    await stage.write()
    answer = await stage.explain(DUE + 4 * DAY)
    assert (answer.verdict, answer.summary.endswith("the job is due then.")) == (Response.NOT_YET, True)
    assert "is not due then" in (await stage.explain(DUE + 4 * DAY + HOUR)).summary
    await stage.write(NOW - HOUR, enabled=False)
    assert "is disabled" in (await stage.explain(DUE + 4 * DAY)).summary


async def test_a_moved_run_whose_time_has_not_come_is_not_pending(stage: Stage) -> None:
    stage.calendars["holidays"] = day_set([NOW.date().isoformat()], "", ())
    calendars = timing_pb2.CalendarRule(exclude=["holidays"], roll=timing_pb2.CalendarRule.NEXT_BUSINESS_DAY)
    await stage.write(calendars=calendars)
    answer = await stage.explain(DUE + DAY)
    assert answer.verdict == Response.NOT_YET
    assert answer.summary.startswith("Sat 2026-01-10 09:00:00 Europe/Berlin (08:00:00 UTC) has not come yet")


async def test_the_ledger_knows_nothing_any_more(stage: Stage) -> None:
    await stage.write()
    answer = await stage.explain()
    assert answer.verdict == Response.UNKNOWN
    assert "age out" in answer.facts[-1]


async def test_a_calendar_removed_it(stage: Stage) -> None:
    stage.calendars["holidays"] = day_set([DUE.date().isoformat()], "", ())
    await stage.write(calendars=timing_pb2.CalendarRule(exclude=["holidays"]))
    answer = await stage.explain()
    assert answer.verdict == Response.REMOVED
    assert "holidays" in answer.summary
    assert answer.previous_run.ToDatetime(UTC) == DUE - DAY
    stage.record(DUE, Execution.SKIPPED, reason_code=Execution.CALENDAR, reason="calendar holidays")
    answer = await stage.explain()
    assert (answer.verdict, answer.execution.reason_code) == (Response.REMOVED, Execution.CALENDAR)


@pytest.mark.parametrize(
    "roll", [timing_pb2.CalendarRule.NEXT_BUSINESS_DAY, timing_pb2.CalendarRule.PREVIOUS_BUSINESS_DAY]
)
async def test_a_calendar_moved_it_to_another_day(stage: Stage, roll: "timing_pb2.CalendarRule.Roll.ValueType") -> None:
    stage.calendars["holidays"] = day_set([DUE.date().isoformat()], "", ())
    calendars = timing_pb2.CalendarRule(exclude=["holidays"], roll=roll)
    await stage.write(schedule="0 9 * * THU", calendars=calendars)
    is_next = roll == timing_pb2.CalendarRule.NEXT_BUSINESS_DAY
    stage.record(DUE + DAY if is_next else DUE - DAY, Execution.SUCCESS)
    answer = await stage.explain()
    assert answer.verdict == Response.RAN
    assert "holidays" in text(answer)


async def test_a_window_removed_it(stage: Stage) -> None:
    await stage.write(schedule="*/10 * * * *", blackout_windows=[timing_pb2.Window(start="08:00", end="10:00")])
    answer = await stage.explain()
    assert answer.verdict == Response.REMOVED
    assert "blackout" in answer.summary
    assert (await stage.explain(DUE + timedelta(minutes=5))).verdict == Response.NOT_DUE


async def test_the_clocks_removed_it(stage: Stage) -> None:
    stage.clock.jump(100 * DAY)
    policy = timing_pb2.DstPolicy(skipped_time=timing_pb2.DstPolicy.SKIP)
    await stage.write(schedule="30 2 * * *", dst_policy=policy)
    answer = await stage.explain(datetime(2026, 3, 29, 1, tzinfo=UTC))
    assert answer.verdict == Response.REMOVED
    answer = await stage.explain(datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
    assert answer.verdict == Response.NOT_DUE
    assert "02:30" in text(answer)


@pytest.mark.parametrize(
    ("field", "words"),
    [("start_time", "before its start_time"), ("end_time", "not before its end_time"), ("max_runs", "max_runs of 2")],
)
async def test_a_limit_removed_it(stage: Stage, field: str, words: str) -> None:
    value: object = 2
    if field != "max_runs":
        bound = Job()
        bound.start_time.FromDatetime(DUE + HOUR if field == "start_time" else DUE - HOUR)
        value = bound.start_time
    await stage.write(**{field: value})  # type: ignore[arg-type]
    answer = await stage.explain()
    assert answer.verdict == Response.REMOVED
    assert words in answer.summary


async def test_a_run_asked_for_by_hand_is_told(stage: Stage) -> None:
    await stage.write()
    stage.record(DUE + timedelta(minutes=5), Execution.SUCCESS, cause=Execution.MANUAL, actor="key-9")
    answer = await stage.explain()
    assert answer.verdict == Response.UNKNOWN
    assert "near that time: the ledger has the run of Thu 2026-01-08 09:05:00" in text(answer)
    assert "asked for by a call of TriggerJob by key-9" in text(answer)
    answer = await stage.explain(DUE + timedelta(minutes=5))
    assert (answer.verdict, answer.execution.cause) == (Response.RAN, Execution.MANUAL)


async def test_a_run_that_was_made_up_for_is_told(stage: Stage) -> None:
    await stage.write()
    stage.record(DUE, Execution.SKIPPED, reason_code=Execution.MISSED)
    stage.record(DUE, Execution.SUCCESS, cause=Execution.BACKFILL)
    answer = await stage.explain()
    assert answer.verdict == Response.SKIPPED
    assert "SUCCESS, asked for by a backfill" in text(answer)


async def test_a_job_without_times_is_never_due(stage: Stage) -> None:
    await stage.write(schedule="")
    assert "runs only when asked for" in (await stage.explain()).summary
    wish = Job()
    wish.dependencies.depends_on.extend(["extract", "load"])
    await stage.write(DUE - DAY, schedule="", dependencies=wish.dependencies)
    answer = await stage.explain()
    assert (answer.verdict, answer.summary) == (
        Response.NOT_DUE, "The job has no schedule, and runs after extract, load.",
    )  # fmt: skip
    stage.record(DUE, Execution.SKIPPED, cause=Execution.DEPENDENCY, reason_code=Execution.DEPENDENCY_FAILED)
    assert (await stage.explain()).verdict == Response.SKIPPED


async def test_the_version_of_that_time_decides_not_today_s(stage: Stage) -> None:
    await stage.write()
    await stage.write(DUE + HOUR, schedule="0 15 * * *")
    answer = await stage.explain()
    assert (answer.verdict, answer.job_version) == (Response.UNKNOWN, 1)
    assert (await stage.explain(DUE + DAY)).verdict == Response.NOT_DUE


async def test_a_version_that_is_not_kept_any_more_is_not_made_up(stage: Stage) -> None:
    for number in range(60):
        await stage.write(CREATED + number * HOUR)
    answer = await stage.explain(CREATED + 5 * HOUR)
    assert answer.job_version == 0
    assert "version 1 is the last known from before" in text(answer)


async def test_a_job_from_before_there_were_versions_is_judged_by_its_records(stage: Stage) -> None:
    await stage.write(DUE + HOUR)
    stage.jobs.versions.clear()
    answer = await stage.explain()
    assert (answer.verdict, answer.job_version) == (Response.UNKNOWN, 0)
    stage.record(DUE, Execution.SUCCESS)
    assert (await stage.explain()).verdict == Response.RAN


async def test_a_schedule_that_cannot_be_read_any_more_is_no_internal_error(stage: Stage) -> None:
    await stage.write(timezone="Gone/Zone")
    answer = await stage.explain()
    assert answer.verdict == Response.UNKNOWN
    assert "cannot be read any more" in answer.summary
    assert "cannot be told" in (await stage.explain(NOW + DAY)).summary


async def test_no_time_means_now(stage: Stage) -> None:
    await stage.write()
    answer = await stage.explain(None)
    assert "Fri 2026-01-09 13:00:30" in answer.summary
