"""What policies refuse does not happen, and what they say is accounted for."""

import json
from datetime import UTC, timedelta

import pytest
from chronos.history.v1 import execution_pb2, ledger_service_pb2, policy_decision_pb2
from chronos.policy.v1 import decision_pb2, policy_pb2
from chronos.scheduler.v1 import calendar_pb2, job_pb2, namespace_pb2, run_service_pb2, stored_job_pb2, target_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from libs.faults import Refused, Unavailable
from libs.rpc import context as calls
from services.scheduler.adapters.icalendar_text import ICalendarText
from services.scheduler.jobs.dependencies import Dependencies
from services.scheduler.jobs.jobs import Jobs
from services.scheduler.namespaces import Namespaces
from services.scheduler.policies.guard import heard_warnings
from services.scheduler.policies.refusals import LARGEST_DECISION_BYTES, refusal
from services.scheduler.runs.backfills import Backfills
from services.scheduler.runs.replays import Replays
from services.scheduler.runs.triggers import Triggers
from services.scheduler.servicer.policy_warnings import MOST_BYTES, as_header
from services.scheduler.timing.calendars import Calendars
from services.scheduler.timing.schedules import StoredSchedules
from tests.fakes.calendars import FakeCalendarStore
from tests.fakes.clock import FakeClock
from tests.fakes.dependencies import FakeDependencyStore
from tests.fakes.namespaces import FakeNamespaceStore
from tests.fakes.policies import GuardParts, deny, rule_result, warn
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeTriggerStore, FakeVersionStore

Policy = policy_pb2.Policy
Outcome = policy_decision_pb2.PolicyDecision
CALLER = calls.Principal(id="key-7", name="seven", permissions=("job:*",), namespaces=("*",))
EVERY_OPERATION = (
    Policy.CREATE, Policy.UPDATE, Policy.DELETE, Policy.ENABLE, Policy.TRIGGER, Policy.REPLAY, Policy.BACKFILL,
    Policy.CALENDAR, Policy.NAMESPACE,
)  # fmt: skip


class Desk:
    """The use cases of the API behind one guard; by default nothing is refused, and every operation asked about."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.parts = parts = GuardParts(*EVERY_OPERATION, clock=self.clock)
        self.store, self.ledger = FakeJobStore(), FakeLedger()
        self.promises = FakeTriggerStore()
        calendars = FakeCalendarStore()
        self.jobs = Jobs(
            self.store,
            calendars=calendars,
            calendar_view=parts.calendars,
            dependencies=Dependencies(FakeDependencyStore({})),
            guard=parts.guard,
            clock=self.clock,
        )
        self.triggers = Triggers(self.jobs, self.promises, self.ledger, parts.guard, self.clock)
        self.backfills = Backfills(self.triggers, StoredSchedules(calendars), self.ledger, parts.guard, self.clock)
        self.replays = Replays(
            self.jobs, FakeVersionStore(self.store), self.triggers, self.ledger, parts.guard, self.clock
        )
        self.calendars = Calendars(calendars, self.store, ICalendarText(), parts.guard, self.clock)
        self.namespace_store = FakeNamespaceStore()
        self.namespaces = Namespaces(self.namespace_store, parts.guard, self.clock)

    @property
    def asked(self) -> list[str]:
        """The operations that policies were asked about."""
        return [Policy.Operation.Name(question.operation) for question in self.parts.policies.asked]

    @property
    def outcomes(self) -> list[str]:
        """What came into the account."""
        return [Outcome.Outcome.Name(one.outcome) for one in self.parts.accounts.decisions]

    async def create(self, *, validate_only: bool = False, **fields: object) -> job_pb2.Job:
        return await self.jobs.create(
            wish(**fields), namespace="", request_id="", validate_only=validate_only, author="key-7"
        )

    async def ran(self, job: job_pb2.Job) -> str:
        """An execution of a job that is in the ledger."""
        execution = execution_pb2.Execution(
            id="e-1", namespace="default", job_id=job.id, job_uid=job.uid, job_version=1,
            status=execution_pb2.Execution.FAILED,
        )  # fmt: skip
        execution.scheduled_time.FromDatetime(self.clock.now())
        self.ledger.executions.append(execution)
        stored = self.store.jobs["default", job.id].stored.job
        delivered = job_pb2.Job(webhook=stored.webhook)
        self.ledger.definitions[execution.id] = ledger_service_pb2.Definition(job=delivered.SerializeToString())
        return execution.id

    async def replay(self, execution_id: str, url: str = "") -> None:
        await self.replays.replay(
            "", "", execution_id, run_service_pb2.RequestChanges(url=url),
            skip_retries=False, request_id="", actor="key-7",
        )  # fmt: skip

    async def backfill(self, job: job_pb2.Job, *, validate_only: bool = False) -> None:
        now = self.clock.now()
        await self.backfills.backfill(
            self.store.jobs["default", job.id].stored, now - timedelta(days=3), now, rerun=True,
            concurrency=job_pb2.Job.ALLOW, validate_only=validate_only, actor="key-7",
        )  # fmt: skip

    async def switch(self, job_id: str, *, is_enabled: bool) -> None:
        await self.jobs.set_enabled("", job_id, is_enabled=is_enabled, author="key-7")

    async def rename(self, job_id: str, *, validate_only: bool = False) -> None:
        await self.jobs.update(
            "", job_id, job_pb2.Job(name="other"), FieldMask(paths=["name"]), validate_only=validate_only, author="k"
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def wish(**fields: object) -> job_pb2.Job:
    job = job_pb2.Job(name="Report", schedule="0 3 * * *", webhook=target_pb2.WebhookTarget(url="https://a.example/x"))
    job.MergeFrom(job_pb2.Job(**fields))  # type: ignore[arg-type]
    return job


async def test_each_operation_is_asked_about_and_refused(desk: Desk) -> None:
    job = await desk.create()
    execution_id = await desk.ran(job)
    await desk.switch(job.id, is_enabled=False)
    calendar = calendar_pb2.Calendar(id="closed", name="Closed", dates=["2026-12-25"])
    await desk.calendars.create(calendar, namespace="", validate_only=False, author="k")
    await desk.namespaces.create(namespace_pb2.Namespace(id="team"), validate_only=False, principal=CALLER)
    assert desk.asked == ["CREATE"]  # making calendars, namespaces, and disabling are no operations of policies
    desk.parts.policies.judge = deny
    desk.parts.policies.asked.clear()
    for attempt in (
        desk.create(name="another"),
        desk.rename(job.id),
        desk.jobs.delete("", job.id, etag=""),
        desk.switch(job.id, is_enabled=True),
        desk.triggers.trigger("", job.id, request_id=""),
        desk.replay(execution_id),
        desk.backfill(job),
        desk.calendars.replace("", "closed", calendar, validate_only=False, author="k"),
        desk.calendars.delete("", "closed", etag=""),
        desk.calendars.import_file("", "closed", icalendar=HOLIDAY, merge=True, name="", author="k"),
        desk.namespaces.replace("team", namespace_pb2.Namespace(), validate_only=False, author="k"),
        desk.namespaces.delete("team", etag=""),
    ):
        with pytest.raises(Refused, match="naming/prefix: names begin with a team"):
            await attempt
    assert desk.asked == [
        "CREATE", "UPDATE", "DELETE", "ENABLE", "TRIGGER", "REPLAY", "BACKFILL",
        "CALENDAR", "CALENDAR", "CALENDAR", "NAMESPACE", "NAMESPACE",
    ]  # fmt: skip
    assert [found.stored.job.version for found in desk.store.jobs.values()] == [2]
    assert not desk.promises.triggers
    assert set(desk.outcomes) == {"DENIED"}
    assert len(desk.outcomes) == 12


async def test_a_refusal_names_rule_and_field_and_carries_the_decision(desk: Desk) -> None:
    desk.parts.policies.judge = deny
    with pytest.raises(Refused) as caught:
        await desk.create()
    fault = caught.value
    assert (fault.code, fault.reason) == ("PERMISSION_DENIED", "POLICY_VIOLATION")
    assert [(one.field, one.description) for one in fault.violations] == [("job.name", "names begin with a team")]
    assert decision_pb2.Decision.FromString(fault.decision).violations[0] == rule_result()


async def test_where_no_policy_applies_nobody_is_asked(desk: Desk) -> None:
    desk.parts.book.applies.clear()
    desk.parts.policies.is_away = True
    await desk.create()
    assert desk.outcomes == []


async def test_a_job_without_the_tags_of_a_policy_is_not_asked_about(desk: Desk) -> None:
    desk.parts.book.tagged = {"env": "prod"}
    await desk.create(name="one")
    await desk.create(name="two", tags={"env": "prod"})
    assert [question.job["name"] for question in desk.parts.policies.asked] == ["two"]


async def test_while_policies_cannot_be_asked_nothing_goes_on(desk: Desk) -> None:
    desk.parts.policies.is_away = True
    with pytest.raises(Unavailable, match="policies could not be asked") as caught:
        await desk.create()
    assert caught.value.reason == "POLICIES_UNREACHABLE"
    assert desk.store.jobs == {}
    assert desk.outcomes == ["UNREACHABLE_DENIED"]


async def test_while_policies_cannot_be_asked_all_goes_on_in_a_namespace_that_says_so(desk: Desk) -> None:
    desk.parts.policies.is_away = True
    desk.parts.namespaces.unjudged.add("default")
    await desk.create()
    assert ("default", "report") in desk.store.jobs
    assert desk.outcomes == ["UNREACHABLE_ALLOWED"]


async def test_what_nobody_has_anything_against_is_accounted_for_where_that_is_asked_for(desk: Desk) -> None:
    await desk.create(name="one")
    desk.parts.accounts.takes_allowed = True
    await desk.create(name="two")
    assert desk.outcomes == ["ALLOWED"]


async def test_nobody_waits_for_policies_that_can_only_warn(desk: Desk) -> None:
    desk.parts.policies.is_away = True
    desk.parts.book.is_harmless = True
    await desk.create()
    assert ("default", "report") in desk.store.jobs
    assert desk.outcomes == ["UNREACHABLE_ALLOWED"]


async def test_a_job_that_loses_the_tags_that_a_policy_goes_by_is_still_asked_about(desk: Desk) -> None:
    job = await desk.create(tags={"env": "prod"})
    desk.parts.book.tagged = {"env": "prod"}
    desk.parts.policies.asked.clear()
    patch = job_pb2.Job(tags={"env": "test"})
    await desk.jobs.update("", job.id, patch, FieldMask(paths=["tags"]), validate_only=False, author="k")
    assert desk.asked == ["UPDATE"]


async def test_a_warning_lets_it_go_on_and_is_heard_and_accounted_for(desk: Desk) -> None:
    desk.parts.policies.judge = warn
    with calls.scope(calls.RequestContext(request_id="r", principal=CALLER)), heard_warnings() as warnings:
        job = await desk.create()
    assert [one.rule_id for one in warnings] == ["prefix"]
    [account] = desk.parts.accounts.decisions
    assert (account.outcome, account.caller, account.job_id) == (Outcome.WARNED, "key-7", job.id)
    assert (account.policy_revision, account.operation) == (9, Policy.CREATE)
    assert account.time.ToDatetime(UTC) == desk.clock.now()
    assert account.decision.warnings[0] == rule_result()


async def test_what_is_allowed_without_a_word_is_not_accounted_for(desk: Desk) -> None:
    await desk.create()
    assert (desk.asked, desk.outcomes) == (["CREATE"], [])


async def test_a_check_is_judged_and_not_accounted_for(desk: Desk) -> None:
    job = await desk.create()
    desk.parts.policies.judge = deny
    for attempt in (
        desk.create(name="another", validate_only=True),
        desk.rename(job.id, validate_only=True),
        desk.backfill(job, validate_only=True),
    ):
        with pytest.raises(Refused):
            await attempt
    desk.parts.policies.is_away = True
    with pytest.raises(Unavailable):
        await desk.create(name="another", validate_only=True)
    assert desk.outcomes == []


async def test_a_job_can_always_be_disabled(desk: Desk) -> None:
    job = await desk.create()
    desk.parts.policies.is_away = True
    await desk.switch(job.id, is_enabled=False)
    assert not (await desk.jobs.get("", job.id)).enabled


async def test_a_change_that_also_enables_a_job_is_both(desk: Desk) -> None:
    job = await desk.create(enabled=False)
    desk.parts.policies.asked.clear()
    await desk.jobs.update(
        "", job.id, job_pb2.Job(enabled=True), FieldMask(paths=["enabled"]), validate_only=False, author="k"
    )
    assert desk.asked == ["UPDATE", "ENABLE"]
    assert desk.parts.policies.batches == [1, 2]


async def test_of_a_change_that_is_refused_in_part_no_warning_is_accounted_for(desk: Desk) -> None:
    job = await desk.create(enabled=False)
    desk.parts.policies.judge = lambda question: (deny if question.operation == Policy.ENABLE else warn)(question)
    with pytest.raises(Refused):
        await desk.jobs.update(
            "", job.id, job_pb2.Job(enabled=True), FieldMask(paths=["enabled"]), validate_only=False, author="k"
        )
    assert desk.outcomes == ["DENIED"]


async def test_rules_see_the_job_before_and_after_with_its_defaults_and_without_secrets(desk: Desk) -> None:
    secret = target_pb2.WebhookAuth(bearer=target_pb2.BearerAuth(token="s3cret"))
    job = await desk.create(webhook=target_pb2.WebhookTarget(auth=secret), tags={"team": "a"})
    with calls.scope(calls.RequestContext(request_id="r", principal=CALLER)):
        await desk.rename(job.id)
    created, updated = desk.parts.policies.asked
    assert not created.HasField("before")
    assert (updated.before["name"], updated.job["name"]) == ("Report", "other")
    assert (updated.caller, list(updated.permissions)) == ("key-7", ["job:*"])
    shown = MessageToDict(updated.job)
    assert (shown["timeout"], shown["blackout_windows"], shown["description"]) == ("30s", [], "")
    assert shown["retry_policy"]["max_attempts"] == 3
    assert shown["webhook"]["auth"] == {"bearer": {"token": "********"}}
    assert (updated.extent.jobs, updated.extent.runs) == (1, 0)
    assert "s3cret" not in str(desk.parts.policies.asked)


async def test_a_replay_is_judged_by_what_it_is_going_to_send(desk: Desk) -> None:
    job = await desk.create()
    await desk.replay(await desk.ran(job), url="https://elsewhere.example/x")
    assert desk.parts.policies.asked[-1].job.fields["webhook"].struct_value["url"] == "https://elsewhere.example/x"
    assert desk.store.jobs["default", job.id].stored.job.webhook.url == "https://a.example/x"


async def test_a_backfill_says_how_many_runs_it_asks_for(desk: Desk) -> None:
    job = await desk.create()
    await desk.backfill(job)
    assert (desk.parts.policies.asked[-1].extent.jobs, desk.parts.policies.asked[-1].extent.runs) == (1, 3)


async def test_a_change_of_a_calendar_says_how_many_jobs_it_touches(desk: Desk) -> None:
    calendar = calendar_pb2.Calendar(id="closed", name="Closed", dates=["2026-12-25"])
    await desk.calendars.create(calendar, namespace="", validate_only=False, author="k")
    for name in ("one", "two", "three"):
        stored = stored_job_pb2.StoredJob(job=wish(name=name, namespace="default", id=name))
        stored.job.calendars.exclude.append("closed")
        desk.store.jobs["default", name] = await desk.store.insert(stored)
    await desk.create(name="four")
    await desk.calendars.replace("", "closed", calendar, validate_only=False, author="k")
    assert desk.parts.policies.asked[-1].extent.jobs == 3


async def test_a_change_of_a_namespace_says_how_many_jobs_it_touches(desk: Desk) -> None:
    await desk.namespaces.create(namespace_pb2.Namespace(id="team"), validate_only=False, principal=CALLER)
    desk.namespace_store.in_use.add("team")
    await desk.namespaces.replace("team", namespace_pb2.Namespace(), validate_only=False, author="k")
    assert (desk.parts.policies.asked[-1].namespace, desk.parts.policies.asked[-1].extent.jobs) == ("team", 1)


def test_warnings_travel_as_a_short_header_of_ascii() -> None:
    assert json.loads(as_header([rule_result(), rule_result()])) == ["naming/prefix: names begin with a team"]
    many = [rule_result(rule=f"r{number}", message="\u00fc" * 500) for number in range(100)]
    header = as_header(many)
    assert len(header) <= MOST_BYTES
    assert header.isascii()
    assert json.loads(header)[0].startswith("naming/r0: ")


def test_a_refusal_by_many_rules_is_cut_to_what_fits_into_trailers() -> None:
    results = [rule_result(rule=f"r{number}", message="x" * 500) for number in range(300)]
    fault = refusal([decision_pb2.Decision(violations=results), decision_pb2.Decision(allowed=True)])
    assert fault.message.count("naming/r") == 3
    assert fault.message.endswith("and 297 more")
    assert 0 < len(fault.decision) <= LARGEST_DECISION_BYTES
    assert decision_pb2.Decision.FromString(fault.decision).violations[0].rule_id == "r0"


HOLIDAY = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//x//EN
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20261226
SUMMARY:Day off
END:VEVENT
END:VCALENDAR
"""
