"""What the stores of namespaces promise: the fake, and etcd (in memory and real)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from chronos.scheduler.v1 import job_pb2, namespace_pb2, stored_job_pb2

from libs.clock import SystemClock
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from libs.faults import AlreadyExists, Fault, LimitReached, Stale, WrongState
from services.scheduler.adapters.etcd_jobs import EtcdJobStore
from services.scheduler.adapters.etcd_namespaces import EtcdNamespaceBook, EtcdNamespaceStore
from services.scheduler.domain.quota import NO_LIMITS, Quota
from services.scheduler.ports.namespaces import NamespaceStore
from tests.fakes.etcd import FakeEtcd
from tests.fakes.namespaces import FakeNamespaceStore

SHARDS = 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["in memory", pytest.param("real", marks=pytest.mark.etcd)])
async def etcd(request: pytest.FixtureRequest) -> AsyncIterator[Etcd]:
    client: Etcd
    if request.param == "real":
        client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    else:
        client = FakeEtcd(SystemClock())
    yield client
    await client.close()


@pytest.fixture(params=["fake", "etcd in memory", pytest.param("etcd", marks=pytest.mark.etcd)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[NamespaceStore]:
    if request.param == "fake":
        yield FakeNamespaceStore()
        return
    client: Etcd
    if request.param == "etcd":
        client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    else:
        client = FakeEtcd(SystemClock())
    yield EtcdNamespaceStore(client)
    await client.close()


@pytest.fixture
def name() -> str:
    return f"n-{uuid4().hex[:12]}"


def namespace(name: str, max_jobs: int = -1) -> namespace_pb2.Namespace:
    return namespace_pb2.Namespace(id=name, quotas=namespace_pb2.Quotas(max_jobs=max_jobs))


def job(name: str, job_id: str, request_id: str = "") -> stored_job_pb2.StoredJob:
    return stored_job_pb2.StoredJob(
        job=job_pb2.Job(namespace=name, id=job_id, uid=str(uuid4()), version=1), request_id=request_id
    )


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.01)


async def test_a_namespace_is_read_as_it_was_written(store: NamespaceStore, name: str) -> None:
    assert await store.get(name) is None
    written = await store.put(namespace(name, 3), revision=0)
    assert await store.get(name) == written
    assert written in await store.all()


async def test_only_the_version_that_was_read_is_changed(store: NamespaceStore, name: str) -> None:
    first = await store.put(namespace(name), revision=0)
    with pytest.raises(Stale):
        await store.put(namespace(name), revision=0)
    second = await store.put(namespace(name, 4), revision=first.revision)
    with pytest.raises(Stale):
        await store.delete(name, revision=first.revision)
    await store.delete(name, revision=second.revision)
    assert await store.get(name) is None


async def test_a_namespace_that_holds_jobs_is_not_deleted(etcd: Etcd, name: str) -> None:
    store, jobs = EtcdNamespaceStore(etcd), EtcdJobStore(etcd, SHARDS)
    written = await store.put(namespace(name), revision=0)
    created = await jobs.insert(job(name, "a"))
    with pytest.raises(WrongState, match="1 job"):
        await store.delete(name, revision=written.revision)
    await jobs.delete(name, "a", revision=created.revision, at=NOW)
    await store.delete(name, revision=written.revision)


async def test_a_namespace_is_not_deleted_under_a_job_that_is_being_created(etcd: Etcd, name: str) -> None:
    store, jobs = EtcdNamespaceStore(etcd), EtcdJobStore(etcd, SHARDS)
    for attempt in range(10):
        space = f"{name}-{attempt}"
        revision = (await store.put(namespace(space), revision=0)).revision
        results = await asyncio.gather(
            jobs.insert(job(space, "a")), store.delete(space, revision=revision), return_exceptions=True
        )
        is_deleted_first = results[1] is None
        assert not isinstance(results[0], BaseException)
        assert (await store.get(space) is None) == is_deleted_first


async def test_never_more_jobs_than_the_quota_however_many_ask_at_once(etcd: Etcd, name: str) -> None:
    await EtcdNamespaceStore(etcd).put(namespace(name, 5), revision=0)
    replicas = [EtcdJobStore(etcd, SHARDS) for _ in range(3)]
    results = await asyncio.gather(
        *(replicas[number % 3].insert(job(name, f"j{number}")) for number in range(20)), return_exceptions=True
    )
    refused = [found for found in results if isinstance(found, BaseException)]
    assert all(isinstance(found, LimitReached) for found in refused), refused
    assert "has 5 jobs and its quota allows for 5" in str(refused[0])
    assert len(results) - len(refused) == 5
    assert len((await replicas[0].page(name, after_id="", limit=100)).jobs) == 5


async def test_a_full_namespace_still_answers_repeated_requests(etcd: Etcd, name: str) -> None:
    jobs = EtcdJobStore(etcd, SHARDS)
    await EtcdNamespaceStore(etcd).put(namespace(name, 1), revision=0)
    first = await jobs.insert(job(name, "a", "r1"))
    assert await jobs.insert(job(name, "a", "r1")) == first
    with pytest.raises(AlreadyExists):
        await jobs.insert(job(name, "a", "r2"))
    with pytest.raises(LimitReached):
        await jobs.insert(job(name, "b", "r3"))
    await jobs.delete(name, "a", revision=first.revision, at=NOW)
    await jobs.insert(job(name, "b", "r3"))


async def test_a_limit_that_is_set_meanwhile_holds_at_once(etcd: Etcd, name: str) -> None:
    jobs, store = EtcdJobStore(etcd, SHARDS), EtcdNamespaceStore(etcd)
    for attempt in range(10):
        space = f"{name}-{attempt}"
        results = await asyncio.gather(
            jobs.insert(job(space, "a")),
            store.put(namespace(space, 0), revision=0),
            jobs.insert(job(space, "b")),
            return_exceptions=True,
        )
        assert all(isinstance(found, LimitReached) for found in results if isinstance(found, Fault))
        with pytest.raises(LimitReached):
            await jobs.insert(job(space, "c"))


async def test_every_replica_knows_what_goes_on_while_policies_cannot_be_asked(etcd: Etcd, name: str) -> None:
    store, book = EtcdNamespaceStore(etcd), EtcdNamespaceBook(etcd)
    stored = namespace_pb2.Namespace(id=name, policy_failure=namespace_pb2.Namespace.ALLOW)
    written = await store.put(stored, revision=0)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        following = group.create_task(book.run())
        await book.ready()
        assert book.allows_unjudged(name)
        assert not book.allows_unjudged("never-created")
        stored.policy_failure = namespace_pb2.Namespace.DENY
        await store.put(stored, revision=written.revision)
        await until(lambda: not book.allows_unjudged(name))
        following.cancel()


async def test_the_jobs_of_a_namespace_are_counted(etcd: Etcd, name: str) -> None:
    store, jobs = EtcdNamespaceStore(etcd), EtcdJobStore(etcd, SHARDS)
    assert await store.count_jobs(name) == 0
    await jobs.insert(job(name, "a"))
    await jobs.insert(job(name, "b"))
    await jobs.insert(job(f"{name}-other", "c"))
    assert await store.count_jobs(name) == 2


async def test_every_replica_knows_the_limits_without_asking(etcd: Etcd, name: str) -> None:
    store, book = EtcdNamespaceStore(etcd), EtcdNamespaceBook(etcd)
    written = await store.put(namespace(name, 3), revision=0)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        following = group.create_task(book.run())
        await book.ready()
        assert book.quotas_of(name) == Quota(max_jobs=3)
        version = book.version
        await store.delete(name, revision=written.revision)
        await until(lambda: book.quotas_of(name) == NO_LIMITS)
        assert book.version > version
        following.cancel()
