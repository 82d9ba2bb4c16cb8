"""What the scheduler's stores promise: the fake, and etcd (in memory and real)."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.clock import SystemClock
from libs.etcd import keys
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from libs.faults import AlreadyExists, InvalidArgument, Stale
from services.scheduler.adapters.etcd_cancels import EtcdCancelStore
from services.scheduler.adapters.etcd_jobs import EtcdJobStore
from services.scheduler.adapters.etcd_shards import EtcdShardStore
from services.scheduler.adapters.etcd_triggers import EtcdTriggerStore
from services.scheduler.domain.identity import shard_of
from services.scheduler.ports.jobs import JobStore
from tests.fakes.etcd import FakeEtcd
from tests.fakes.scheduler import FakeJobStore

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
async def store(request: pytest.FixtureRequest) -> AsyncIterator[JobStore]:
    if request.param == "fake":
        yield FakeJobStore()
        return
    client: Etcd
    if request.param == "etcd":
        client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    else:
        client = FakeEtcd(SystemClock())
    yield EtcdJobStore(client, SHARDS)
    await client.close()


@pytest.fixture
def namespace() -> str:
    return f"n-{uuid4().hex[:12]}"


def stored(namespace: str, job_id: str, request_id: str = "") -> stored_job_pb2.StoredJob:
    job = job_pb2.Job(namespace=namespace, id=job_id, uid=str(uuid4()), name=job_id)
    return stored_job_pb2.StoredJob(job=job, request_id=request_id)


async def test_a_job_is_read_as_it_was_written(store: JobStore, namespace: str) -> None:
    written = await store.insert(stored(namespace, "a"))
    assert await store.get(namespace, "a") == written
    assert await store.get(namespace, "b") is None
    assert await store.get("other", "a") is None


async def test_an_id_is_taken_once(store: JobStore, namespace: str) -> None:
    first = await store.insert(stored(namespace, "a"))
    with pytest.raises(AlreadyExists):
        await store.insert(stored(namespace, "a"))
    assert await store.get(namespace, "a") == first


async def test_a_repeated_request_gives_the_first_job(store: JobStore, namespace: str) -> None:
    first = await store.insert(stored(namespace, "a", "r1"))
    assert await store.insert(stored(namespace, "a", "r1")) == first
    with pytest.raises(AlreadyExists):
        await store.insert(stored(namespace, "a", "r2"))


async def test_only_the_version_that_was_read_is_replaced(store: JobStore, namespace: str) -> None:
    first = await store.insert(stored(namespace, "a"))
    second = await store.replace(stored(namespace, "a"), revision=first.revision)
    assert second.revision > first.revision
    with pytest.raises(Stale):
        await store.replace(stored(namespace, "a"), revision=first.revision)
    assert await store.get(namespace, "a") == second


async def test_only_the_version_that_was_read_is_deleted(store: JobStore, namespace: str) -> None:
    first = await store.insert(stored(namespace, "a"))
    second = await store.replace(stored(namespace, "a"), revision=first.revision)
    with pytest.raises(Stale):
        await store.delete(namespace, "a", revision=first.revision, at=NOW)
    await store.delete(namespace, "a", revision=second.revision, at=NOW)
    assert await store.get(namespace, "a") is None
    assert (await store.page(namespace, after_id="", limit=10)).jobs == []


async def test_pages_are_ordered_by_id_and_complete(store: JobStore, namespace: str) -> None:
    for number in range(7):
        await store.insert(stored(namespace, f"job-{6 - number}"))
    first = await store.page(namespace, after_id="", limit=4)
    assert [found.stored.job.id for found in first.jobs] == ["job-0", "job-1", "job-2", "job-3"]
    assert first.has_more
    second = await store.page(namespace, after_id=first.last_id, limit=4)
    assert [found.stored.job.id for found in second.jobs] == ["job-4", "job-5", "job-6"]
    assert not second.has_more


async def test_a_namespace_whose_name_begins_another_is_not_mixed_up(store: JobStore, namespace: str) -> None:
    await store.insert(stored(namespace, "a"))
    await store.insert(stored(f"{namespace}-b", "b"))
    assert [found.stored.job.id for found in (await store.page(namespace, after_id="", limit=10)).jobs] == ["a"]


async def test_a_request_id_of_another_job_is_refused(etcd: Etcd, namespace: str) -> None:
    store = EtcdJobStore(etcd, SHARDS)
    await store.insert(stored(namespace, "a", "r1"))
    with pytest.raises(InvalidArgument, match="was used"):
        await store.insert(stored(namespace, "b", "r1"))


def trigger(namespace: str, execution_id: str) -> stored_job_pb2.StoredTrigger:
    return stored_job_pb2.StoredTrigger(execution_id=execution_id, namespace=namespace, job_id="a")


async def test_a_trigger_is_seen_by_the_owner_until_it_is_settled(etcd: Etcd, namespace: str) -> None:
    store, shards = EtcdTriggerStore(etcd, SHARDS), EtcdShardStore(etcd)
    shard = shard_of(namespace, "a", SHARDS)
    promise = await store.add(trigger(namespace, "e1"), request_id="")
    assert (promise.shard, promise.epoch) == (shard, 0)
    async with aclosing(shards.triggers(shard)) as changes:
        listing = await anext(changes)
        assert listing.is_complete
        assert "e1" in [found.execution_id for found in listing.triggers]
        await store.add(trigger(namespace, "e2"), request_id="")
        assert [found.execution_id for found in (await anext(changes)).triggers] == ["e2"]
    await store.settle([(shard, "e1"), (shard, "e2")])
    assert await etcd.get(keys.trigger(shard, "e1")) is None


async def test_a_repeated_trigger_request_promises_the_first_execution(etcd: Etcd, namespace: str) -> None:
    store = EtcdTriggerStore(etcd, SHARDS)
    await store.add(trigger(namespace, "e1"), request_id="r")
    assert (await store.add(trigger(namespace, "e2"), request_id="r")).trigger.execution_id == "e1"


async def test_the_owner_sees_jobs_come_change_and_go(etcd: Etcd, namespace: str) -> None:
    store, shards = EtcdJobStore(etcd, SHARDS), EtcdShardStore(etcd)
    written = await store.insert(stored(namespace, "a"))
    async with aclosing(shards.jobs(shard_of(namespace, "a", SHARDS))) as changes:
        listing = await anext(changes)
        assert listing.is_complete
        assert written.stored in listing.jobs
        written = await store.replace(stored(namespace, "a"), revision=written.revision)
        assert list((await anext(changes)).jobs) == [written.stored]
        await store.delete(namespace, "a", revision=written.revision, at=NOW)
        assert list((await anext(changes)).removed) == [(namespace, "a")]


async def test_the_owner_sees_what_came_before_a_deletion_before_it(etcd: Etcd, namespace: str) -> None:
    store, shards = EtcdJobStore(etcd, SHARDS), EtcdShardStore(etcd)
    seen: list[tuple[str, int]] = []
    async with aclosing(shards.jobs(shard_of(namespace, "a", SHARDS))) as changes:
        await anext(changes)
        for _ in range(2):
            written = await store.insert(version(namespace, 1, NOW))
            written = await store.replace(version(namespace, 2, NOW), revision=written.revision)
            await store.delete(namespace, "a", revision=written.revision, at=NOW)
        await store.insert(version(namespace, 3, NOW))
        while ("put", 3) not in seen:
            change = await anext(changes)
            seen += [("deleted", 0) for name in change.removed if name == (namespace, "a")]
            seen += [("put", found.job.version) for found in change.jobs if found.job.namespace == namespace]
    assert seen == [*2 * [("put", 1), ("put", 2), ("deleted", 0)], ("put", 3)]


def version(namespace: str, number: int, updated_at: datetime) -> stored_job_pb2.StoredJob:
    message = stored(namespace, "a")
    message.job.uid, message.job.version = f"uid-{namespace}", number
    message.job.updated_at.FromDatetime(updated_at)
    return message


async def tombstone_of(etcd: Etcd, namespace: str) -> stored_job_pb2.StoredTombstone | None:
    found = await EtcdShardStore(etcd).tombstones(shard_of(namespace, "a", SHARDS))
    mine = [tombstone for tombstone in found if tombstone.versions[-1].job.namespace == namespace]
    assert len(mine) <= 1
    return mine[0] if mine else None


async def test_the_owner_sees_every_version_of_a_job_and_one_that_takes_the_place_of_another(
    etcd: Etcd, namespace: str
) -> None:
    store, shards = EtcdJobStore(etcd, SHARDS), EtcdShardStore(etcd)
    seen: list[int] = []
    written = await store.insert(version(namespace, 1, NOW))
    async with aclosing(shards.jobs(shard_of(namespace, "a", SHARDS))) as changes:
        await anext(changes)
        for number in (2, 3, 4):
            written = await store.replace(version(namespace, number, NOW), revision=written.revision)
        while len(seen) < 3:
            seen += [found.job.version for found in (await anext(changes)).jobs]
        assert seen == [2, 3, 4]
        await store.delete(namespace, "a", revision=written.revision, at=NOW)
        again = await store.insert(stored(namespace, "a"))
        removed: list[tuple[str, str]] = []
        jobs: list[stored_job_pb2.StoredJob] = []
        while not jobs:
            change = await anext(changes)
            removed += list(change.removed)
            jobs += list(change.jobs)
        assert (removed, jobs) == ([(namespace, "a")], [again.stored])


async def test_a_deleted_job_leaves_a_tombstone_with_the_versions_of_its_last_hour(etcd: Etcd, namespace: str) -> None:
    store = EtcdJobStore(etcd, SHARDS)
    written = await store.insert(version(namespace, 1, NOW - timedelta(hours=5)))
    for number, minutes in ((2, 90), (3, 50), (4, 1)):
        changed = version(namespace, number, NOW - timedelta(minutes=minutes))
        written = await store.replace(changed, revision=written.revision)
    with pytest.raises(Stale):
        await store.delete(namespace, "a", revision=written.revision - 1, at=NOW)
    assert await tombstone_of(etcd, namespace) is None
    await store.delete(namespace, "a", revision=written.revision, at=NOW)
    tombstone = await tombstone_of(etcd, namespace)
    assert tombstone is not None
    assert tombstone.deleted_at.ToDatetime(UTC) == NOW
    assert [kept.job.version for kept in tombstone.versions] == [2, 3, 4]
    assert tombstone.versions[-1] == written.stored


async def test_a_tombstone_has_room_for_20_versions_and_for_few_that_are_large(etcd: Etcd, namespace: str) -> None:
    store = EtcdJobStore(etcd, SHARDS)
    for size, most in ((0, 20), (100_000, 3)):
        written = await store.insert(version(namespace, 1, NOW))
        for number in range(2, 25):
            changed = version(namespace, number, NOW)
            changed.comment = "x" * size
            written = await store.replace(changed, revision=written.revision)
        await store.delete(namespace, "a", revision=written.revision, at=NOW)
        tombstone = await tombstone_of(etcd, namespace)
        assert tombstone is not None
        assert [kept.job.version for kept in tombstone.versions] == list(range(25 - most, 25))


async def test_only_the_owner_deletes_tombstones(etcd: Etcd, namespace: str) -> None:
    store, shards = EtcdJobStore(etcd, SHARDS), EtcdShardStore(etcd)
    shard, uid = shard_of(namespace, "a", SHARDS), f"uid-{namespace}"
    written = await store.insert(version(namespace, 1, NOW))
    await store.delete(namespace, "a", revision=written.revision, at=NOW)
    await etcd.delete(keys.shard_owner(shard))
    epoch = await etcd.put(keys.shard_owner(shard), b"me")
    await shards.delete_tombstones(shard, epoch - 1, [(namespace, "a", uid)])
    assert await tombstone_of(etcd, namespace) is not None
    await shards.delete_tombstones(shard, epoch, [(namespace, "a", f"uid-{n}") for n in range(100)])
    await shards.delete_tombstones(shard, epoch, [(namespace, "a", uid)])
    assert await tombstone_of(etcd, namespace) is None


async def test_a_watermark_is_written_only_under_the_owner_s_epoch(etcd: Etcd) -> None:
    shards = EtcdShardStore(etcd)
    await etcd.delete(keys.shard_owner(1))
    await etcd.delete(keys.shard_owner(2))
    epochs = {shard: await etcd.put(keys.shard_owner(shard), b"me") for shard in (1, 2)}
    await shards.write_watermarks({1: (epochs[1], NOW), 2: (epochs[2], NOW)})
    assert await shards.watermark(1) == NOW
    later = NOW + timedelta(seconds=1)
    await shards.write_watermarks({1: (epochs[1] - 1, later), 2: (epochs[2], later)})
    assert await shards.watermark(1) == NOW
    assert await shards.watermark(2) == later


async def test_the_owner_sees_the_first_wish_to_cancel_until_it_is_settled(etcd: Etcd, namespace: str) -> None:
    cancels, triggers, shards = EtcdCancelStore(etcd, SHARDS), EtcdTriggerStore(etcd, SHARDS), EtcdShardStore(etcd)
    shard = shard_of(namespace, "a", SHARDS)
    for reason in ("first", "second"):
        await cancels.add(
            stored_job_pb2.StoredCancel(execution_id=namespace, namespace=namespace, job_id="a", reason=reason)
        )
    async with aclosing(shards.triggers(shard)) as changes:
        listing = await anext(changes)
        assert [found.reason for found in listing.cancels if found.execution_id == namespace] == ["first"]
        assert namespace not in [found.execution_id for found in listing.triggers]
    await triggers.settle_cancels([(shard, namespace)])
    assert await etcd.get(keys.cancel(shard, namespace)) is None
