"""The use cases of JobService."""

from collections.abc import Collection, Mapping
from datetime import UTC, timedelta

import pytest
from chronos.scheduler.v1 import job_pb2, job_version_service_pb2, run_rules_pb2, target_pb2, timing_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from libs.faults import AlreadyExists, InvalidArgument, NotFound, Stale, WrongState
from services.scheduler.domain.schedule.calendar import WEEKENDS, DaySet
from services.scheduler.jobs.dependencies import Dependencies
from services.scheduler.jobs.jobs import Jobs
from tests.fakes.clock import FakeClock
from tests.fakes.dependencies import FakeDependencyStore
from tests.fakes.firing import FakeCalendarBook
from tests.fakes.policies import no_policies
from tests.fakes.scheduler import FakeJobStore


class FakeCalendarSets:
    """Knows the built-in calendar only."""

    async def day_sets(self, namespace: str, ids: Collection[str]) -> Mapping[str, DaySet]:
        return {name: WEEKENDS for name in ids if name == "weekends"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> FakeJobStore:
    return FakeJobStore()


@pytest.fixture
def jobs(store: FakeJobStore, clock: FakeClock) -> Jobs:
    parents_of = {"extract": (), "load": ("extract",)}
    return Jobs(
        store,
        calendars=FakeCalendarSets(),
        calendar_view=FakeCalendarBook(),
        dependencies=Dependencies(FakeDependencyStore(parents_of)),
        guard=no_policies(),
        clock=clock,
    )


def wish(name: str = "Nightly report", **fields: object) -> job_pb2.Job:
    job = job_pb2.Job(name=name, schedule="0 3 * * *", webhook=target_pb2.WebhookTarget(url="https://example.com/x"))
    job.MergeFrom(job_pb2.Job(**fields))  # type: ignore[arg-type]
    return job


async def create(jobs: Jobs, job: job_pb2.Job, **options: object) -> job_pb2.Job:
    settings: dict[str, object] = {"namespace": "", "request_id": "", "validate_only": False, "author": "key-1"}
    return await jobs.create(job, **{**settings, **options})  # type: ignore[arg-type]


async def test_a_new_job_says_what_was_left_out(jobs: Jobs, clock: FakeClock) -> None:
    job = await create(jobs, wish())
    assert (job.namespace, job.id, job.version, job.updated_by) == ("default", "nightly-report", 1, "key-1")
    assert job.enabled
    assert job.timezone == "UTC"
    assert job.webhook.method == "POST"
    assert job.timeout.ToTimedelta() == timedelta(seconds=30)
    policy = job.retry_policy
    assert (policy.max_attempts, policy.multiplier) == (3, 2.0)
    assert policy.initial_interval.ToTimedelta() == timedelta(seconds=1)
    assert policy.max_interval.ToTimedelta() == timedelta(minutes=1)
    assert job.next_run.ToDatetime() == clock.now().replace(tzinfo=None) + timedelta(hours=3)
    assert job.etag
    assert job.uid


async def test_a_partial_retry_policy_is_filled_up(jobs: Jobs) -> None:
    policy = target_pb2.RetryPolicy(max_attempts=7)
    policy.initial_interval.FromTimedelta(timedelta(minutes=5))
    job = await create(jobs, wish(retry_policy=policy))
    assert job.retry_policy.max_attempts == 7
    assert job.retry_policy.max_interval.ToTimedelta() == timedelta(minutes=5)


async def test_what_only_the_server_may_say_is_not_taken_from_the_caller(jobs: Jobs) -> None:
    job = await create(jobs, wish(uid="mine", version=99, updated_by="me"))
    assert job.uid != "mine"
    assert (job.version, job.updated_by) == (1, "key-1")


async def test_an_id_that_is_taken_is_refused(jobs: Jobs) -> None:
    await create(jobs, wish())
    with pytest.raises(AlreadyExists):
        await create(jobs, wish())


async def test_a_repeated_request_answers_the_first_job(jobs: Jobs) -> None:
    first = await create(jobs, wish(), request_id="r1")
    second = await create(jobs, wish(), request_id="r1")
    assert second.uid == first.uid


async def test_the_same_id_lives_in_two_namespaces(jobs: Jobs) -> None:
    await create(jobs, wish())
    other = await create(jobs, wish(), namespace="team-b")
    assert other.namespace == "team-b"
    with pytest.raises(NotFound):
        await jobs.get("team-c", other.id)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"schedule": "61 * * * *"}, "schedule"),
        ({"schedule": "0 0 30 2 *"}, "schedule"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"name": "!!!"}, "id"),
        ({"schedule": "0 9 * * FRI-MON"}, "schedule"),
        ({"active_windows": [timing_pb2.Window(start="25:00")]}, "active_windows[0].start"),
        ({"calendars": timing_pb2.CalendarRule(exclude=["nowhere"])}, "calendars.exclude[0]"),
        ({"dependencies": run_rules_pb2.Dependencies(depends_on=["load"])}, "dependencies.depends_on"),
        ({"retry_policy": target_pb2.RetryPolicy(max_attempts=0)}, "retry_policy.max_attempts"),
        ({"webhook": target_pb2.WebhookTarget(url="ftp://x/y")}, "webhook.url"),
        ({"webhook": target_pb2.WebhookTarget(url="not a url")}, "webhook.url"),
        ({"webhook": target_pb2.WebhookTarget(url="http://u:p@host/")}, "webhook.url"),
        ({"webhook": target_pb2.WebhookTarget(body="{{.Nope}}")}, "webhook.body"),
        ({"webhook": target_pb2.WebhookTarget(body="x", method="GET")}, "webhook.body"),
        ({"webhook": target_pb2.WebhookTarget(headers={"Bad Name": "x"})}, "webhook.headers['Bad Name']"),
        (
            {"webhook": target_pb2.WebhookTarget(headers={"X-Chronos-Job-ID": "x"})},
            "webhook.headers['X-Chronos-Job-ID']",
        ),
        ({"webhook": target_pb2.WebhookTarget(headers={"A": "x\r\nB: y"})}, "webhook.headers['A']"),
    ],
)
async def test_a_job_that_could_not_run_is_refused_with_its_field(
    jobs: Jobs, store: FakeJobStore, fields: dict[str, object], path: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await create(jobs, wish(str(fields.pop("name", "x")), **fields))
    assert path in [violation.field for violation in caught.value.violations]
    assert not store.jobs


async def test_every_mistake_is_named_at_once(jobs: Jobs) -> None:
    bad = wish(schedule="x", timezone="Nowhere/Land", webhook=target_pb2.WebhookTarget(url="gopher://x"))
    with pytest.raises(InvalidArgument) as caught:
        await create(jobs, bad)
    assert {violation.field for violation in caught.value.violations} == {"schedule", "timezone", "webhook.url"}


async def test_a_check_changes_nothing(jobs: Jobs, store: FakeJobStore) -> None:
    job = await create(jobs, wish(), validate_only=True)
    assert job.id == "nightly-report"
    assert not job.etag
    assert not store.jobs


async def test_secrets_are_never_returned_and_their_masks_keep_them(jobs: Jobs, store: FakeJobStore) -> None:
    auth = target_pb2.WebhookAuth(bearer=target_pb2.BearerAuth(token="s3cret"))
    webhook = target_pb2.WebhookTarget(url="https://example.com/", auth=auth)
    shown = await create(jobs, wish(webhook=webhook))
    assert shown.webhook.auth.bearer.token == "********"
    shown.description = "changed"
    again = await jobs.replace("", shown.id, shown, validate_only=False, author="k")
    assert again.description == "changed"
    assert store.jobs["default", shown.id].stored.job.webhook.auth.bearer.token == "s3cret"


async def test_a_mask_with_nothing_behind_it_is_refused(jobs: Jobs) -> None:
    auth = target_pb2.WebhookAuth(bearer=target_pb2.BearerAuth(token="********"))
    with pytest.raises(InvalidArgument, match="mask"):
        await create(jobs, wish(webhook=target_pb2.WebhookTarget(url="https://example.com/", auth=auth)))


async def test_replace_puts_defaults_where_nothing_is_given(jobs: Jobs) -> None:
    job = await create(jobs, wish(description="old", tags={"a": "b"}, enabled=False))
    replaced = await jobs.replace("", job.id, wish(), validate_only=False, author="k")
    assert replaced.description == ""
    assert not replaced.tags
    assert replaced.enabled
    assert replaced.version == 2
    assert replaced.uid == job.uid
    assert replaced.created_at == job.created_at


async def test_update_changes_only_what_the_mask_names(jobs: Jobs) -> None:
    job = await create(jobs, wish(description="old", tags={"a": "b"}))
    change = job_pb2.Job(description="new", webhook=target_pb2.WebhookTarget(url="https://example.com/new"))
    mask = FieldMask(paths=["webhook.url", "tags"])
    updated = await jobs.update("", job.id, change, mask, validate_only=False, author="k")
    assert updated.webhook.url == "https://example.com/new"
    assert updated.webhook.method == "POST"
    assert updated.description == "old"
    assert not updated.tags


async def test_update_without_a_mask_takes_what_is_given(jobs: Jobs) -> None:
    job = await create(jobs, wish(description="old"))
    updated = await jobs.update("", job.id, job_pb2.Job(enabled=False), FieldMask(), validate_only=False, author="k")
    assert not updated.enabled
    assert updated.description == "old"
    assert not updated.HasField("next_run")


@pytest.mark.parametrize("path", ["nope", "webhook.nope", "uid", "id", "tags.team", "schedule.x"])
async def test_a_mask_that_names_what_cannot_be_changed_is_refused(jobs: Jobs, path: str) -> None:
    job = await create(jobs, wish())
    with pytest.raises(InvalidArgument) as caught:
        await jobs.update("", job.id, job_pb2.Job(), FieldMask(paths=[path]), validate_only=False, author="k")
    assert caught.value.violations[0].field == "update_mask"


async def test_a_merged_job_is_checked_whole(jobs: Jobs) -> None:
    job = await create(jobs, wish())
    with pytest.raises(InvalidArgument) as caught:
        await jobs.update("", job.id, job_pb2.Job(), FieldMask(paths=["name"]), validate_only=False, author="k")
    assert caught.value.violations[0].field == "name"


async def test_a_stale_etag_is_refused(jobs: Jobs) -> None:
    job = await create(jobs, wish())
    await jobs.set_enabled("", job.id, is_enabled=False, author="k")
    with pytest.raises(Stale):
        await jobs.replace("", job.id, job, validate_only=False, author="k")
    with pytest.raises(Stale):
        await jobs.delete("", job.id, etag=job.etag)


async def test_the_identity_of_a_job_cannot_be_changed(jobs: Jobs) -> None:
    job = await create(jobs, wish())
    with pytest.raises(InvalidArgument):
        await jobs.replace("", job.id, wish(id="other"), validate_only=False, author="k")


async def test_enabling_twice_makes_one_version(jobs: Jobs) -> None:
    job = await create(jobs, wish())
    assert (await jobs.set_enabled("", job.id, is_enabled=True, author="k")).version == 1
    assert (await jobs.set_enabled("", job.id, is_enabled=False, author="k")).version == 2
    assert (await jobs.set_enabled("", job.id, is_enabled=False, author="k")).version == 2


async def test_only_a_change_of_when_it_fires_moves_the_effective_time(
    jobs: Jobs, store: FakeJobStore, clock: FakeClock
) -> None:
    job = await create(jobs, wish())
    began = store.jobs["default", job.id].stored.effective_at
    await clock.advance(timedelta(hours=1))
    mask = FieldMask(paths=["description"])
    await jobs.update("", job.id, job_pb2.Job(description="x"), mask, validate_only=False, author="k")
    assert store.jobs["default", job.id].stored.effective_at == began
    mask = FieldMask(paths=["schedule"])
    await jobs.update("", job.id, job_pb2.Job(schedule="@hourly"), mask, validate_only=False, author="k")
    assert store.jobs["default", job.id].stored.effective_at != began


async def test_a_deleted_job_is_gone(jobs: Jobs) -> None:
    job = await create(jobs, wish())
    await jobs.delete("", job.id, etag=job.etag)
    with pytest.raises(NotFound):
        await jobs.get("", job.id)
    with pytest.raises(NotFound):
        await jobs.delete("", job.id, etag="")


async def test_pages_hold_every_job_once_and_the_filter_is_kept(jobs: Jobs) -> None:
    for number in range(25):
        await create(jobs, wish(f"job {number:02}", enabled=number % 2 == 0))
    seen: list[str] = []
    token = ""
    while True:
        page, token = await jobs.list("", size=5, token=token, filter_text="enabled = true")
        assert len(page) <= 5
        seen += [job.id for job in page]
        if not token:
            break
    assert seen == [f"job-{number:02}" for number in range(0, 25, 2)]


async def test_a_job_whose_schedule_cannot_be_read_any_more_can_still_be_looked_at(
    jobs: Jobs, store: FakeJobStore
) -> None:
    job = await create(jobs, wish())
    store.jobs["default", job.id].stored.job.timezone = "Gone/Zone"
    found = await jobs.get("", job.id)
    assert found.timezone == "Gone/Zone"
    assert not found.HasField("next_run")


async def test_a_token_of_another_list_is_refused(jobs: Jobs) -> None:
    for number in range(3):
        await create(jobs, wish(f"job {number}"))
    _, token = await jobs.list("", size=1, token="", filter_text="")
    with pytest.raises(InvalidArgument, match="another list"):
        await jobs.list("", size=1, token=token, filter_text="enabled = true")
    with pytest.raises(InvalidArgument, match="not a token"):
        await jobs.list("", size=1, token="garbage", filter_text="")


async def test_a_job_keeps_the_rules_of_its_runs_and_says_the_ones_left_out(jobs: Jobs) -> None:
    job = await create(jobs, wish())
    assert job.concurrency == job_pb2.Job.FORBID
    assert job.missed_run_policy == job_pb2.Job.EXECUTE_ONE
    assert job.delivery_guarantee == job_pb2.Job.AT_LEAST_ONCE
    assert job.priority == 5
    queued = await create(jobs, wish("queued", concurrency=job_pb2.Job.QUEUE))
    assert queued.max_queued_runs == 10


async def test_a_job_without_times_says_so(jobs: Jobs) -> None:
    with pytest.raises(InvalidArgument, match="@manual"):
        await create(jobs, job_pb2.Job(name="x", webhook=wish().webhook))
    manual = await create(jobs, job_pb2.Job(name="x", schedule="@manual", webhook=wish().webhook))
    assert not manual.HasField("next_run")
    after = run_rules_pb2.Dependencies(depends_on=["load"])
    report = await create(jobs, job_pb2.Job(name="report", dependencies=after, webhook=wish().webhook))
    assert report.dependencies.condition == run_rules_pb2.Dependencies.ALL_SUCCESS
    assert report.dependencies.timeout.ToTimedelta() == timedelta(hours=24)


async def test_what_speaks_of_times_needs_a_schedule(jobs: Jobs) -> None:
    job = job_pb2.Job(name="x", schedule="@manual", max_runs=3, webhook=wish().webhook)
    with pytest.raises(InvalidArgument) as caught:
        await create(jobs, job)
    assert [violation.field for violation in caught.value.violations] == ["max_runs"]


async def test_a_job_that_others_depend_on_is_not_deleted(jobs: Jobs) -> None:
    await create(jobs, wish("extract"))
    with pytest.raises(WrongState, match="load"):
        await jobs.delete("", "extract", etag="")


async def test_each_version_says_how_it_came_about(jobs: Jobs, store: FakeJobStore) -> None:
    version = job_version_service_pb2.JobVersion
    job = await create(jobs, wish())
    first = store.jobs["default", job.id].stored
    assert first.change == version.CREATED
    await jobs.update(
        "", job.id, job_pb2.Job(priority=7), FieldMask(), validate_only=False, author="k", comment="urgent now"
    )
    stored = store.jobs["default", job.id].stored
    assert (stored.change, stored.comment) == (version.UPDATED, "urgent now")
    await jobs.set_enabled("", job.id, is_enabled=False, author="k")
    assert store.jobs["default", job.id].stored.change == version.DISABLED
    back = await jobs.restore("", job.id, first, etag="", author="k", comment="")
    stored = store.jobs["default", job.id].stored
    assert (stored.change, stored.rolled_back_to) == (version.ROLLED_BACK, 1)
    assert (back.version, back.priority, back.enabled) == (4, 5, True)


async def test_an_enabled_job_remembers_since_when_it_was_disabled(
    jobs: Jobs, store: FakeJobStore, clock: FakeClock
) -> None:
    job = await create(jobs, wish())
    await clock.advance(timedelta(hours=1))
    disabled_at = clock.now()
    await jobs.set_enabled("", job.id, is_enabled=False, author="k")
    await clock.advance(timedelta(hours=1))
    await jobs.update("", job.id, job_pb2.Job(priority=7), FieldMask(), validate_only=False, author="k")
    await jobs.set_enabled("", job.id, is_enabled=True, author="k")
    stored = store.jobs["default", job.id].stored
    assert stored.disabled_at.ToDatetime(UTC) == disabled_at
    assert stored.effective_at.ToDatetime(UTC) == clock.now()


async def test_max_runs_counts_on_over_a_pause_and_anew_after_a_change_of_times(
    jobs: Jobs, store: FakeJobStore, clock: FakeClock
) -> None:
    job = await create(jobs, wish(max_runs=3))
    began = store.jobs["default", job.id].stored.counts_from
    await clock.advance(timedelta(hours=1))
    await jobs.set_enabled("", job.id, is_enabled=False, author="k")
    await jobs.set_enabled("", job.id, is_enabled=True, author="k")
    assert store.jobs["default", job.id].stored.counts_from == began
    await jobs.update("", job.id, job_pb2.Job(max_runs=5), FieldMask(), validate_only=False, author="k")
    assert store.jobs["default", job.id].stored.counts_from.ToDatetime(UTC) == clock.now()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"schedule": "@at 2020-01-01T09:00:00"}, "schedule"),
        ({"schedule": "@at 2037-03-29T02:30:00", "timezone": "Europe/Berlin",
          "dst_policy": timing_pb2.DstPolicy(skipped_time=timing_pb2.DstPolicy.SKIP)}, "schedule"),
        ({"end_time": Timestamp(seconds=1_000_000_000)}, "end_time"),
    ],
)  # fmt: skip
async def test_a_job_whose_times_are_over_is_refused_when_it_gets_them(
    jobs: Jobs, fields: dict[str, object], path: str
) -> None:
    with pytest.raises(InvalidArgument, match="no run after") as caught:
        await create(jobs, job_pb2.Job(**{"name": "x", "schedule": "0 3 * * *", "webhook": wish().webhook, **fields}))  # type: ignore[arg-type]
    assert [violation.field for violation in caught.value.violations] == [path]


async def test_a_job_whose_times_are_over_can_still_be_changed(jobs: Jobs, clock: FakeClock) -> None:
    at = clock.now() + timedelta(hours=1)
    job = await create(jobs, job_pb2.Job(name="x", schedule=f"@at {at:%Y-%m-%dT%H:%M:%S}", webhook=wish().webhook))
    await clock.advance(timedelta(hours=2))
    changed = await jobs.update(
        "", job.id, job_pb2.Job(description="done"), FieldMask(), validate_only=False, author="k"
    )
    assert not changed.HasField("next_run")
