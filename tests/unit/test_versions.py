"""The use cases of JobVersionService."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from chronos.scheduler.v1 import job_pb2, stored_job_pb2
from chronos.scheduler.v1 import job_version_service_pb2 as pb

from libs.faults import InvalidArgument, NotFound, Stale
from libs.rpc import context as calls
from services.scheduler.domain.differences import DifferenceKind
from services.scheduler.jobs.secrets import masked_job
from services.scheduler.jobs.versions import JobVersions
from services.scheduler.servicer.versions import Context, JobVersionServicer
from tests.fakes.scheduler import FakeJobStore
from tests.fakes.versions import FakeJobFinder, FakeVersionStore

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
JobVersion = pb.JobVersion


class FakeJobs(FakeJobFinder):
    """Jobs, as far as versions need them."""

    async def restore(
        self, namespace: str, job_id: str, version: stored_job_pb2.StoredJob, *, etag: str, author: str, comment: str
    ) -> job_pb2.Job:
        current = await self.find(namespace, job_id)
        if etag not in ("", str(current.revision)):
            raise Stale("changed")
        new = stored(current.stored.job.version + 1)
        new.job.webhook.CopyFrom(version.job.webhook)
        new.change, new.rolled_back_to, new.comment = JobVersion.ROLLED_BACK, version.job.version, comment
        new.job.updated_by = author
        written = await self.store.replace(new, revision=current.revision)
        return masked_job(written.stored.job)


def stored(number: int, *, secret: str = "s1", url: str = "https://example.com/1") -> stored_job_pb2.StoredJob:
    job = job_pb2.Job(namespace="default", id="report", uid="u1", name="report", version=number, updated_by="key-1")
    job.webhook.url = url
    job.webhook.auth.bearer.token = secret
    job.updated_at.FromDatetime(BEGIN + timedelta(days=number))
    change = JobVersion.UPDATED if number > 1 else JobVersion.CREATED
    return stored_job_pb2.StoredJob(job=job, change=change, comment=f"change {number}")


@pytest.fixture
def store() -> FakeJobStore:
    return FakeJobStore()


@pytest.fixture
def versions(store: FakeJobStore) -> JobVersions:
    return JobVersions(FakeJobs(store), FakeVersionStore(store))


async def write(store: FakeJobStore, *versions: stored_job_pb2.StoredJob) -> None:
    for one in versions:
        current = await store.get(one.job.namespace, one.job.id)
        await (store.replace(one, revision=current.revision) if current else store.insert(one))


async def test_versions_are_listed_newest_first_and_without_the_job(store: FakeJobStore, versions: JobVersions) -> None:
    await write(store, *map(stored, range(1, 6)))
    first, token = await versions.list("", "report", size=3, token="")
    rest, end = await versions.list("", "report", size=3, token=token)
    assert [one.version for one in [*first, *rest]] == [5, 4, 3, 2, 1]
    assert end == ""
    newest = first[0]
    assert (newest.namespace, newest.job_id, newest.created_by, newest.comment) == (
        "default", "report", "key-1", "change 5",
    )  # fmt: skip
    assert newest.created_at.ToDatetime(UTC) == BEGIN + timedelta(days=5)
    assert (newest.change, rest[-1].change) == (JobVersion.UPDATED, JobVersion.CREATED)
    assert not newest.HasField("job")


async def test_a_version_shows_the_job_as_it_was_without_secrets(store: FakeJobStore, versions: JobVersions) -> None:
    await write(store, stored(1), stored(2, url="https://example.com/2"))
    found = await versions.get("", "report", 1)
    assert found.job.webhook.url == "https://example.com/1"
    assert found.job.webhook.auth.bearer.token == "********"


async def test_the_first_version_and_the_last_fifty_are_kept(store: FakeJobStore, versions: JobVersions) -> None:
    await write(store, *map(stored, range(1, 61)))
    assert (await versions.get("", "report", 1)).version == 1
    assert (await versions.get("", "report", 11)).version == 11
    with pytest.raises(NotFound, match=r"version 10 .* is not there; there is 1 and 11 to 60"):
        await versions.get("", "report", 10)
    listed, token = await versions.list("", "report", size=1000, token="")
    assert len(listed) == 51
    assert token == ""


async def test_versions_of_a_job_that_is_not_there_are_not_found(versions: JobVersions) -> None:
    with pytest.raises(NotFound):
        await versions.list("", "report", size=0, token="")
    with pytest.raises(NotFound):
        await versions.get("", "report", 1)


async def test_a_job_from_before_there_were_versions_has_its_present_one(
    store: FakeJobStore, versions: JobVersions
) -> None:
    await write(store, stored(4))
    store.versions.clear()
    assert await versions.list("", "report", size=0, token="") == ([], "")
    assert (await versions.get("", "report", 4)).version == 4
    with pytest.raises(NotFound, match="there is 4"):
        await versions.get("", "report", 3)


async def test_a_comparison_goes_against_the_version_before(store: FakeJobStore, versions: JobVersions) -> None:
    await write(store, stored(1), stored(2, secret="s2"), stored(3, secret="s2", url="https://example.com/3"))
    old, found = await versions.compare("", "report", 3, against=0)
    assert old == 2
    assert [(one.path, one.kind) for one in found] == [("webhook.url", DifferenceKind.MODIFIED)]
    old, found = await versions.compare("", "report", 3, against=1)
    assert old == 1
    assert [one.path for one in found] == ["webhook.auth.bearer.token", "webhook.url"]
    assert (found[0].old, found[0].new) == ('"********"', '"********"')


async def test_the_first_version_needs_something_to_be_compared_with(
    store: FakeJobStore, versions: JobVersions
) -> None:
    await write(store, stored(1), stored(2, url="https://example.com/2"))
    with pytest.raises(InvalidArgument) as caught:
        await versions.compare("", "report", 1, against=0)
    assert caught.value.violations[0].field == "against"
    assert len((await versions.compare("", "report", 1, against=2))[1]) == 1


async def test_a_rollback_makes_a_new_version_with_the_old_secrets(store: FakeJobStore, versions: JobVersions) -> None:
    await write(store, stored(1), stored(2, secret="s2", url="https://example.com/2"))
    job, old = await versions.rollback("", "report", 1, etag="", comment="back", author="key-2")
    assert (old, job.version, job.webhook.url) == (2, 3, "https://example.com/1")
    assert job.webhook.auth.bearer.token == "********"
    assert store.jobs["default", "report"].stored.job.webhook.auth.bearer.token == "s1"
    newest = await versions.get("", "report", 3)
    assert (newest.change, newest.rolled_back_to, newest.comment, newest.created_by) == (
        JobVersion.ROLLED_BACK, 1, "back", "key-2",
    )  # fmt: skip


async def test_a_rollback_with_a_stale_etag_or_to_nowhere_is_refused(
    store: FakeJobStore, versions: JobVersions
) -> None:
    await write(store, stored(1), stored(2))
    with pytest.raises(Stale):
        await versions.rollback("", "report", 1, etag="5", comment="", author="k")
    with pytest.raises(NotFound):
        await versions.rollback("", "report", 7, etag="", comment="", author="k")


async def test_the_service_answers_as_the_contract_says(store: FakeJobStore, versions: JobVersions) -> None:
    await write(store, stored(1), stored(2, url="https://example.com/2"))
    servicer, context = JobVersionServicer(versions), cast(Context, None)
    listed = await servicer.ListJobVersions(pb.ListJobVersionsRequest(job_id="report", page_size=1), context)
    assert ([one.version for one in listed.versions], bool(listed.next_page_token)) == ([2], True)
    assert (await servicer.GetJobVersion(pb.GetJobVersionRequest(job_id="report", version=1), context)).version == 1
    diff = await servicer.DiffJobVersions(pb.DiffJobVersionsRequest(job_id="report", version=2), context)
    assert (diff.old_version, diff.new_version) == (1, 2)
    assert list(diff.differences) == [
        pb.Difference(
            path="webhook.url",
            kind=pb.Difference.MODIFIED,
            old_value='"https://example.com/1"',
            new_value='"https://example.com/2"',
        )
    ]
    with calls.scope(calls.RequestContext(request_id="r", principal=calls.Principal(id="key-3", name="k"))):
        back = await servicer.RollbackJob(pb.RollbackJobRequest(job_id="report", version=1, comment="c"), context)
    assert (back.rolled_back_from, back.new_version, back.job.updated_by) == (2, 3, "key-3")
