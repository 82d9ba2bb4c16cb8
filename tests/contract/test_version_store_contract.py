"""What the stores of versions and of wishes to cancel promise: the fakes, and etcd (in memory and real)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.clock import SystemClock
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from services.scheduler.adapters.etcd_cancels import EtcdCancelStore
from services.scheduler.adapters.etcd_jobs import EtcdJobStore
from services.scheduler.adapters.etcd_triggers import EtcdTriggerStore
from services.scheduler.adapters.etcd_versions import EtcdVersionStore
from services.scheduler.ports.jobs import JobStore, Versioned, VersionStore
from services.scheduler.ports.orders import CancelStore, TriggerStore
from tests.fakes.etcd import FakeEtcd
from tests.fakes.scheduler import FakeJobStore
from tests.fakes.versions import FakeCancelStore, FakeTriggerStore, FakeVersionStore

SHARDS = 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Stores that see the same."""

    jobs: JobStore
    versions: VersionStore
    triggers: TriggerStore
    cancels: CancelStore


@pytest.fixture(params=["fake", "etcd in memory", pytest.param("etcd", marks=pytest.mark.etcd)])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "fake":
        jobs, triggers = FakeJobStore(), FakeTriggerStore()
        yield Stores(jobs=jobs, versions=FakeVersionStore(jobs), triggers=triggers, cancels=FakeCancelStore(triggers))
        return
    client: Etcd
    if request.param == "etcd":
        client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    else:
        client = FakeEtcd(SystemClock())
    yield Stores(
        jobs=EtcdJobStore(client, SHARDS),
        versions=EtcdVersionStore(client),
        triggers=EtcdTriggerStore(client, SHARDS),
        cancels=EtcdCancelStore(client, SHARDS),
    )
    await client.close()


@pytest.fixture
def namespace() -> str:
    return f"n-{uuid4().hex[:12]}"


def stored(namespace: str, version: int, job_id: str = "a") -> stored_job_pb2.StoredJob:
    job = job_pb2.Job(namespace=namespace, id=job_id, uid=f"uid of {job_id}", name=f"name {version}", version=version)
    return stored_job_pb2.StoredJob(job=job)


async def write(stores: Stores, namespace: str, last: int, job_id: str = "a") -> Versioned:
    """Versions 1 to `last` of a job."""
    written = await stores.jobs.insert(stored(namespace, 1, job_id))
    for version in range(2, last + 1):
        written = await stores.jobs.replace(stored(namespace, version, job_id), revision=written.revision)
    return written


async def test_each_change_of_a_job_keeps_its_version(stores: Stores, namespace: str) -> None:
    await write(stores, namespace, 3)
    assert await stores.versions.get(namespace, "a", 2) == stored(namespace, 2)
    assert await stores.versions.get(namespace, "a", 4) is None
    assert list(await stores.versions.numbers(namespace, "a")) == [1, 2, 3]


async def test_many_versions_are_read_at_once(stores: Stores, namespace: str) -> None:
    await write(stores, namespace, 2)
    await write(stores, namespace, 1, "b")
    wanted = [(namespace, "b", 1), (namespace, "a", 3), (namespace, "a", 2)] * 50
    assert list(await stores.versions.get_many(wanted)) == [stored(namespace, 1, "b"), None, stored(namespace, 2)] * 50
    assert list(await stores.versions.get_many([])) == []


async def test_the_first_version_and_the_last_fifty_stay(stores: Stores, namespace: str) -> None:
    written = await write(stores, namespace, 51)
    assert list(await stores.versions.numbers(namespace, "a")) == list(range(1, 52))
    for version in (52, 53):
        written = await stores.jobs.replace(stored(namespace, version), revision=written.revision)
    assert list(await stores.versions.numbers(namespace, "a")) == [1, *range(4, 54)]


async def test_a_change_that_is_refused_leaves_no_version(stores: Stores, namespace: str) -> None:
    written = await write(stores, namespace, 2)
    with pytest.raises(Exception, match="changed"):
        await stores.jobs.replace(stored(namespace, 3), revision=written.revision - 1)
    assert list(await stores.versions.numbers(namespace, "a")) == [1, 2]


async def test_pages_go_from_the_newest_to_the_oldest(stores: Stores, namespace: str) -> None:
    await write(stores, namespace, 12)
    first = await stores.versions.page(namespace, "a", below=0, limit=5)
    second = await stores.versions.page(namespace, "a", below=8, limit=7)
    assert [version.job.version for version in first.versions] == [12, 11, 10, 9, 8]
    assert [version.job.version for version in second.versions] == [7, 6, 5, 4, 3, 2, 1]
    assert (first.has_more, second.has_more) == (True, False)
    assert (await stores.versions.page(namespace, "nope", below=0, limit=5)).versions == []


async def test_a_deleted_job_takes_its_versions_with_it_and_no_others(stores: Stores, namespace: str) -> None:
    written = await write(stores, namespace, 3)
    await write(stores, namespace, 2, "a-2")
    await stores.jobs.delete(namespace, "a", revision=written.revision, at=NOW)
    assert list(await stores.versions.numbers(namespace, "a")) == []
    assert list(await stores.versions.numbers(namespace, "a-2")) == [1, 2]


def trigger(namespace: str, execution_id: str, actor: str = "k") -> stored_job_pb2.StoredTrigger:
    return stored_job_pb2.StoredTrigger(execution_id=execution_id, namespace=namespace, job_id="a", actor=actor)


async def test_many_triggers_are_promised_in_their_order(stores: Stores, namespace: str) -> None:
    wishes = [trigger(namespace, f"{namespace}-{number}") for number in range(250)]
    promises = await stores.triggers.add_many(wishes)
    assert [promise.trigger for promise in promises] == wishes
    assert await stores.cancels.promised(namespace, f"{namespace}-249") == wishes[249]
    assert await stores.triggers.add_many([]) == []


async def test_a_run_that_is_promised_already_stays_as_it_is(stores: Stores, namespace: str) -> None:
    first = trigger(namespace, f"{namespace}-1", "first")
    await stores.triggers.add_many([first])
    again, new = trigger(namespace, f"{namespace}-1", "second"), trigger(namespace, f"{namespace}-2")
    promises = await stores.triggers.add_many([again, new])
    assert [promise.trigger for promise in promises] == [first, new]
    assert await stores.cancels.promised(namespace, f"{namespace}-1") == first


async def test_a_promise_is_found_in_its_namespace_until_it_is_settled(stores: Stores, namespace: str) -> None:
    promise = await stores.triggers.add(trigger(namespace, namespace), request_id="")
    assert await stores.cancels.promised(namespace, namespace) == promise.trigger
    assert await stores.cancels.promised("other", namespace) is None
    await stores.triggers.settle([(promise.shard, namespace)])
    assert await stores.cancels.promised(namespace, namespace) is None
