"""What stores of calendars promise: the fake, and etcd (in memory and real)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from uuid import uuid4

import pytest
from chronos.scheduler.v1 import calendar_pb2, job_pb2, stored_job_pb2

from libs.clock import SystemClock
from libs.etcd import keys
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from libs.faults import AlreadyExists, Stale
from services.scheduler.adapters.etcd_calendars import EtcdCalendarBook, EtcdCalendarStore, EtcdJobScan
from services.scheduler.ports.calendars import CalendarStore
from tests.fakes.calendars import FakeCalendarStore
from tests.fakes.etcd import FakeEtcd


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
async def store(request: pytest.FixtureRequest) -> AsyncIterator[CalendarStore]:
    if request.param == "fake":
        yield FakeCalendarStore()
        return
    client: Etcd
    if request.param == "etcd":
        client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    else:
        client = FakeEtcd(SystemClock())
    yield EtcdCalendarStore(client)
    await client.close()


@pytest.fixture
def namespace() -> str:
    return f"n-{uuid4().hex[:12]}"


def calendar(namespace: str, calendar_id: str, *dates: str) -> calendar_pb2.Calendar:
    return calendar_pb2.Calendar(namespace=namespace, id=calendar_id, name=calendar_id, dates=dates)


async def test_a_calendar_is_read_as_it_was_written(store: CalendarStore, namespace: str) -> None:
    written = await store.insert(calendar(namespace, "a", "2026-12-25"))
    assert await store.get(namespace, "a") == written
    assert await store.get(namespace, "b") is None
    assert await store.get("other", "a") is None


async def test_an_id_is_taken_once(store: CalendarStore, namespace: str) -> None:
    await store.insert(calendar(namespace, "a"))
    with pytest.raises(AlreadyExists):
        await store.insert(calendar(namespace, "a"))


async def test_only_the_version_that_was_read_is_changed_or_deleted(store: CalendarStore, namespace: str) -> None:
    first = await store.insert(calendar(namespace, "a"))
    second = await store.replace(calendar(namespace, "a", "12-25"), revision=first.revision)
    with pytest.raises(Stale):
        await store.replace(calendar(namespace, "a"), revision=first.revision)
    with pytest.raises(Stale):
        await store.delete(namespace, "a", revision=first.revision)
    await store.delete(namespace, "a", revision=second.revision)
    assert await store.get(namespace, "a") is None


async def test_pages_are_ordered_by_id_and_complete(store: CalendarStore, namespace: str) -> None:
    for name in ("c", "a", "d", "b"):
        await store.insert(calendar(namespace, name))
    await store.insert(calendar(f"{namespace}-x", "e"))
    first, has_more = await store.page(namespace, after_id="", limit=3)
    assert [found.stored.id for found in first] == ["a", "b", "c"]
    assert has_more
    second, has_more = await store.page(namespace, after_id="c", limit=3)
    assert [found.stored.id for found in second] == ["d"]
    assert not has_more


async def test_day_sets_are_those_that_there_are(store: CalendarStore, namespace: str) -> None:
    await store.insert(calendar(namespace, "a", "2026-12-25"))
    sets = await store.day_sets(namespace, ["a", "weekends", "missing"])
    assert sorted(sets) == ["a", "weekends"]
    assert date(2026, 12, 25) in sets["a"]
    assert date(2026, 12, 26) in sets["weekends"]


async def test_the_book_follows_the_store_and_says_what_changed(etcd: Etcd, namespace: str) -> None:
    store, book = EtcdCalendarStore(etcd), EtcdCalendarBook(etcd)
    written = await store.insert(calendar(namespace, "a", "2026-12-25"))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(book.run())
        await book.ready()
        seen = book.version
        assert sorted(book.sets(namespace)) == ["a", "weekends"]
        assert sorted(book.sets("elsewhere")) == ["weekends"]
        await store.replace(calendar(namespace, "a", "2026-12-26"), revision=written.revision)
        seen, changed = await book.changed(seen)
        assert (namespace, "a") in changed
        assert date(2026, 12, 25) not in book.sets(namespace)["a"]
        assert date(2026, 12, 26) in book.sets(namespace)["a"]
        await etcd.delete(keys.calendar(namespace, "a"))
        while "a" in book.sets(namespace):
            seen, changed = await book.changed(seen)
        assert (namespace, "a") in changed
        task.cancel()


async def test_a_stored_calendar_that_means_nothing_is_left_out(etcd: Etcd, namespace: str) -> None:
    await etcd.put(keys.calendar(namespace, "bad"), b"\xff\xff")
    await etcd.put(keys.calendar(namespace, "odd"), calendar(namespace, "odd", "never").SerializeToString())
    assert await EtcdCalendarStore(etcd).day_sets(namespace, ["bad", "odd"]) == {}
    await etcd.delete(keys.calendar(namespace, "bad"))
    await etcd.delete(keys.calendar(namespace, "odd"))


async def test_a_scan_sees_every_job(etcd: Etcd, namespace: str) -> None:
    for number in range(3):
        job = job_pb2.Job(namespace=namespace, id=f"job-{number}")
        value = stored_job_pb2.StoredJob(job=job).SerializeToString()
        await etcd.put(keys.job(number * 7, namespace, f"job-{number}"), value)
    seen = [
        stored.job.id
        async for page in EtcdJobScan(etcd).all_jobs()
        for stored in page
        if stored.job.namespace == namespace
    ]
    assert sorted(seen) == ["job-0", "job-1", "job-2"]
    for number in range(3):
        await etcd.delete(keys.job(number * 7, namespace, f"job-{number}"))
