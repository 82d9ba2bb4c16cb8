"""Repeating an execution with the request that was recorded for it."""

from datetime import UTC, datetime, timedelta

import pytest
from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import job_pb2, run_service_pb2, stored_job_pb2, target_pb2
from hypothesis import given
from hypothesis import strategies as st

from libs.faults import InvalidArgument, NotFound, WrongState
from libs.templates import parse_template, unknown_variables
from services.scheduler.jobs.secrets import masked_job
from services.scheduler.runs.recorded_requests import escaped
from services.scheduler.runs.replays import Replays
from services.scheduler.runs.triggers import Triggers
from tests.fakes.clock import FakeClock
from tests.fakes.policies import no_policies
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeJobFinder, FakeTriggerStore, FakeVersionStore

Execution = execution_pb2.Execution
Changes = run_service_pb2.RequestChanges
RAN_AT = datetime(2025, 12, 1, 9, tzinfo=UTC)
ORIGINAL = "0193803e-2a80-8000-8000-000000000001"


class Stage:
    """A job whose second version ran, and was then changed; and replays with all that they need."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.jobs = FakeJobStore()
        self.ledger = FakeLedger()
        self.store = FakeTriggerStore()
        finder = FakeJobFinder(self.jobs)
        triggers = Triggers(finder, self.store, self.ledger, no_policies(), self.clock)
        self.replays = Replays(finder, FakeVersionStore(self.jobs), triggers, self.ledger, no_policies(), self.clock)

    async def write(self, stored: stored_job_pb2.StoredJob) -> None:
        current = await self.jobs.get("default", "report")
        await (self.jobs.replace(stored, revision=current.revision) if current else self.jobs.insert(stored))

    def record(self, stored: stored_job_pb2.StoredJob, **fields: object) -> None:
        execution = Execution(
            id=ORIGINAL, namespace="default", job_id="report", job_uid="u1", job_version=stored.job.version,
            status=Execution.FAILED, **fields,  # type: ignore[arg-type]
        )  # fmt: skip
        execution.scheduled_time.FromDatetime(RAN_AT)
        self.ledger.executions.append(execution)
        self.ledger.definitions[ORIGINAL] = ledger_service_pb2.Definition(
            job=masked_job(stored.job).SerializeToString()
        )

    async def replay(self, changes: run_service_pb2.RequestChanges | None = None, **options: object) -> Execution:
        settings: dict[str, object] = {"skip_retries": False, "request_id": "", "actor": "key-1"}
        return await self.replays.replay(
            "", "", ORIGINAL, changes or Changes(), **{**settings, **options}  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def sent(self) -> target_pb2.WebhookTarget:
        (trigger,) = self.store.triggers.values()
        return trigger.recorded.webhook


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.write(job(1))
    await stage.write(job(2))
    stage.record(job(2))
    await stage.write(job(3, url="https://example.com/today", token="token 3"))
    return stage


def job(version: int, *, url: str = "https://example.com/then", token: str = "token 2") -> stored_job_pb2.StoredJob:
    message = job_pb2.Job(namespace="default", id="report", uid="u1", name='The "Report"', version=version)
    message.timeout.FromTimedelta(timedelta(seconds=7))
    webhook = message.webhook
    webhook.url, webhook.method, webhook.body = url, "POST", '{"run": "{{.ExecutionID}}", "{{.JobName}}": 1}'
    webhook.headers["X-Team"] = "blue"
    webhook.success_codes.append(202)
    webhook.auth.bearer.token = token
    return stored_job_pb2.StoredJob(job=message)


def rendered(body: str) -> str:
    """What the dispatcher makes of a body for the replay."""
    return parse_template(body).render(
        dict.fromkeys(("JobID", "JobName", "Namespace", "ExecutionID", "ScheduledTime", "Attempt"), "NEW")
    )


async def test_what_was_recorded_is_sent_again_whatever_the_job_says_today(stage: Stage) -> None:
    execution = await stage.replay()
    assert (execution.cause, execution.replay_of, execution.actor, execution.status) == (
        Execution.REPLAY, ORIGINAL, "key-1", Execution.PENDING,
    )  # fmt: skip
    assert execution.scheduled_time.ToDatetime(UTC) == stage.clock.now()
    assert execution.id != ORIGINAL
    sent = stage.sent
    assert (sent.url, sent.method, dict(sent.headers)) == ("https://example.com/then", "POST", {"X-Team": "blue"})
    assert rendered(sent.body) == f'{{"run": "{ORIGINAL}", "The \\"Report\\"": 1}}'
    assert sent.timeout.ToTimedelta() == timedelta(seconds=7)
    assert list(sent.success_codes) == [202]
    assert sent.auth.bearer.token == "token 2"
    (trigger,) = stage.store.triggers.values()
    assert (trigger.concurrency, trigger.skip_retries) == (job_pb2.Job.ALLOW, False)


async def test_secrets_of_a_version_that_is_not_kept_are_today_s(stage: Stage) -> None:
    del stage.jobs.versions["default", "report"][2]
    await stage.replay()
    assert stage.sent.auth.bearer.token == "token 3"


async def test_without_the_secrets_it_is_refused_with_the_way_out(stage: Stage) -> None:
    del stage.jobs.versions["default", "report"][2]
    stage.jobs.jobs["default", "report"].stored.job.webhook.ClearField("auth")
    with pytest.raises(WrongState, match=r"version 2 .* bearer credentials.*changes\.headers"):
        await stage.replay()
    await stage.replay(Changes(headers={"Authorization": "Bearer mine"}))
    assert dict(stage.sent.headers) == {"X-Team": "blue", "Authorization": "Bearer mine"}
    assert not stage.sent.HasField("auth")


async def test_masked_headers_come_from_the_version_that_ran(stage: Stage) -> None:
    stage.jobs.versions["default", "report"][2].job.webhook.headers["Cookie"] = "id=1"
    recorded = masked_job(job(2).job)
    recorded.webhook.headers["Cookie"] = "********"
    stage.ledger.definitions[ORIGINAL].job = recorded.SerializeToString()
    await stage.replay()
    assert stage.sent.headers["Cookie"] == "id=1"
    del stage.jobs.versions["default", "report"][2]
    with pytest.raises(WrongState, match="header Cookie"):
        await stage.replay()


async def test_changes_are_made_to_the_recorded_request(stage: Stage) -> None:
    headers = {"x-team": "", "X-Why": "test"}
    await stage.replay(
        Changes(url="https://example.com/other", method="PUT", headers=headers, body="{{.ExecutionID}}"),
        skip_retries=True,
    )
    sent = stage.sent
    assert (sent.url, sent.method, dict(sent.headers)) == ("https://example.com/other", "PUT", {"X-Why": "test"})
    assert rendered(sent.body) == "NEW"
    (trigger,) = stage.store.triggers.values()
    assert trigger.skip_retries


async def test_an_empty_body_is_a_change_too(stage: Stage) -> None:
    await stage.replay(Changes(method="GET", body=""))
    assert (stage.sent.method, stage.sent.body) == ("GET", "")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (Changes(url="https://example.com/${secret:env:TOKEN}"), "changes.url"),
        (Changes(headers={"X-Key": "${secret:env:TOKEN}"}), "changes.headers['X-Key']"),
        (Changes(body="${secret:env:TOKEN}"), "changes.body"),
    ],
)
async def test_changes_cannot_refer_to_secrets(stage: Stage, changes: Changes, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await stage.replay(changes)
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_what_refers_to_secrets_does_not_go_to_another_host_unasked(stage: Stage) -> None:
    written = job(2)
    written.job.webhook.ClearField("auth")
    written.job.webhook.headers["X-Key"] = "${secret:env:TOKEN}"
    written.job.webhook.body = '{"key": "${secret:env:TOKEN}"}'
    stage.record(written)
    elsewhere = "https://elsewhere.example/then"
    with pytest.raises(InvalidArgument, match="X-Key"):
        await stage.replay(Changes(url=elsewhere))
    with pytest.raises(InvalidArgument, match="body refers to secrets"):
        await stage.replay(Changes(url=elsewhere, headers={"X-Key": ""}))
    await stage.replay(Changes(url=elsewhere, headers={"X-Key": ""}, body="none"))
    assert (stage.sent.body, "X-Key" in stage.sent.headers) == ("none", False)


async def test_credentials_do_not_go_to_another_host_unasked(stage: Stage) -> None:
    elsewhere = "https://elsewhere.example/then"
    with pytest.raises(InvalidArgument, match=r"another host.*Authorization") as caught:
        await stage.replay(Changes(url=elsewhere))
    assert caught.value.violations[0].field == "changes.url"
    with pytest.raises(InvalidArgument, match="another host"):
        await stage.replay(Changes(url="http://example.com/then"))
    with pytest.raises(InvalidArgument, match="another host"):
        await stage.replay(Changes(url=elsewhere, headers={"Authorization": "********"}))
    await stage.replay(Changes(url=elsewhere, headers={"Authorization": ""}))
    assert (stage.sent.url, stage.sent.HasField("auth")) == (elsewhere, False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (Changes(url="ftp://example.com"), "changes.url"),
        (Changes(headers={"Host": "x"}), "changes.headers['Host']"),
        (Changes(body="{{.Nope}}"), "changes.body"),
        (Changes(method="GET"), "changes.method"),
        (Changes(headers={f"X-{number}": "x" for number in range(64)}), "changes.headers"),
    ],
)
async def test_a_changed_request_must_be_one_that_a_job_could_have(
    stage: Stage, changes: run_service_pb2.RequestChanges, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stage.replay(changes)
    assert caught.value.violations[0].field == field
    assert not stage.store.triggers


async def test_what_was_never_sent_cannot_be_replayed(stage: Stage) -> None:
    stage.ledger.definitions.clear()
    with pytest.raises(WrongState, match="no request was recorded"):
        await stage.replay()


async def test_an_execution_of_nobody_or_of_another_job_is_not_found(stage: Stage) -> None:
    options = {"skip_retries": False, "request_id": "", "actor": ""}
    with pytest.raises(NotFound, match='job "other"'):
        await stage.replays.replay("", "other", ORIGINAL, Changes(), **options)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await stage.replays.replay("elsewhere", "", ORIGINAL, Changes(), **options)  # type: ignore[arg-type]


async def test_a_job_that_is_gone_or_another_one_cannot_run(stage: Stage) -> None:
    stage.jobs.jobs["default", "report"].stored.job.uid = "u2"
    with pytest.raises(WrongState, match="was deleted"):
        await stage.replay()
    stage.jobs.jobs.clear()
    with pytest.raises(WrongState, match="was deleted"):
        await stage.replay()


async def test_a_repeated_request_id_replays_once(stage: Stage) -> None:
    first = await stage.replay(request_id="r")
    assert (await stage.replay(request_id="r")).id == first.id
    assert len(stage.store.triggers) == 1


@given(st.text(alphabet='{}". Ax', max_size=30))
def test_an_escaped_body_renders_to_itself(body: str) -> None:
    template = parse_template(escaped(body))
    assert template.names == ()
    assert template.literals[0] == body
    assert unknown_variables(escaped(body)) == ()
