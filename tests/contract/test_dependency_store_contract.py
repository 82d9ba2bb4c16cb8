"""Dependencies in etcd (in memory and real): the index, its mirror, and what changes of jobs are refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from chronos.scheduler.v1 import job_pb2, run_rules_pb2, stored_job_pb2

from libs.clock import SystemClock
from libs.etcd import keys
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from libs.faults import Fault, InvalidArgument, WrongState
from services.scheduler.adapters.etcd_dependencies import EtcdDependants, EtcdDependencyStore
from services.scheduler.adapters.etcd_jobs import EtcdJobStore
from services.scheduler.adapters.etcd_rounds import EtcdRoundStore
from services.scheduler.domain.identity import shard_of
from services.scheduler.ports.dependencies import VersionedRound
from tests.fakes.etcd import FakeEtcd

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


@pytest.fixture
def namespace() -> str:
    return f"n-{uuid4().hex[:12]}"


def stored(namespace: str, job_id: str, *parents: str) -> stored_job_pb2.StoredJob:
    dependencies = run_rules_pb2.Dependencies(depends_on=parents)
    job = job_pb2.Job(namespace=namespace, id=job_id, uid=str(uuid4()), version=1, dependencies=dependencies)
    return stored_job_pb2.StoredJob(job=job)


async def outcome_of(*calls: Awaitable[object]) -> list[object]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.01)


async def test_the_index_follows_what_a_job_depends_on(etcd: Etcd, namespace: str) -> None:
    jobs, store = EtcdJobStore(etcd, SHARDS), EtcdDependencyStore(etcd)
    for name in ("a", "b"):
        await jobs.insert(stored(namespace, name))
    written = await jobs.insert(stored(namespace, "c", "a", "b"))
    assert await store.children(namespace, "a", limit=5) == ["c"]
    assert await store.missing(namespace, ["a", "z"]) == {"z"}
    changed = stored(namespace, "c", "b")
    changed.job.uid = written.stored.job.uid
    written = await jobs.replace(changed, revision=written.revision)
    assert await store.children(namespace, "a", limit=5) == []
    entry = await etcd.get(keys.dependant(namespace, "b", "c"))
    assert entry is not None
    assert entry.value == changed.job.uid.encode()
    await jobs.delete(namespace, "c", revision=written.revision, at=NOW)
    assert await store.children(namespace, "b", limit=5) == []


async def test_the_graph_below_a_job_is_read_with_every_way(etcd: Etcd, namespace: str) -> None:
    jobs = EtcdJobStore(etcd, SHARDS)
    for job in (stored(namespace, "a"), stored(namespace, "b", "a"), stored(namespace, "c", "a", "b")):
        await jobs.insert(job)
    assert await EtcdDependencyStore(etcd).parents_below(namespace, "a") == {"b": {"a"}, "c": {"a", "b"}}


async def test_a_job_that_others_depend_on_is_not_deleted(etcd: Etcd, namespace: str) -> None:
    jobs = EtcdJobStore(etcd, SHARDS)
    parent = await jobs.insert(stored(namespace, "a"))
    await jobs.insert(stored(namespace, "b", "a"))
    with pytest.raises(WrongState, match="b depend"):
        await jobs.delete(namespace, "a", revision=parent.revision, at=NOW)
    assert await jobs.get(namespace, "a") == parent


async def test_of_two_changes_that_close_a_circle_together_one_is_refused(etcd: Etcd, namespace: str) -> None:
    for attempt in range(10):
        one, other, jobs = f"a{attempt}", f"b{attempt}", EtcdJobStore(etcd, SHARDS)
        revisions = [(await jobs.insert(stored(namespace, name))).revision for name in (one, other)]
        found = await outcome_of(
            EtcdJobStore(etcd, SHARDS).replace(stored(namespace, one, other), revision=revisions[0]),
            EtcdJobStore(etcd, SHARDS).replace(stored(namespace, other, one), revision=revisions[1]),
        )
        assert [type(each) for each in found].count(InvalidArgument) == 1, found


async def test_a_parent_is_deleted_or_gets_a_child_but_not_both(etcd: Etcd, namespace: str) -> None:
    for attempt in range(10):
        parent, child, jobs = f"a{attempt}", f"b{attempt}", EtcdJobStore(etcd, SHARDS)
        revision = (await jobs.insert(stored(namespace, parent))).revision
        found = await outcome_of(
            EtcdJobStore(etcd, SHARDS).delete(namespace, parent, revision=revision, at=NOW),
            EtcdJobStore(etcd, SHARDS).insert(stored(namespace, child, parent)),
        )
        assert sum(isinstance(each, Fault) for each in found) == 1, found
        is_parent = await jobs.get(namespace, parent) is not None
        assert is_parent == (await jobs.get(namespace, child) is not None)


async def test_every_replica_knows_the_dependants_without_asking(etcd: Etcd, namespace: str) -> None:
    jobs, mirror = EtcdJobStore(etcd, SHARDS), EtcdDependants(etcd)
    await jobs.insert(stored(namespace, "a"))
    await jobs.insert(stored(namespace, "b", "a"))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        following = group.create_task(mirror.run())
        await mirror.ready()
        assert mirror.children_of(namespace, "a") == ("b",)
        last = await jobs.insert(stored(namespace, "c", "a"))
        await until(lambda: mirror.children_of(namespace, "a") == ("b", "c"))
        await jobs.delete(namespace, "c", revision=last.revision, at=NOW)
        await until(lambda: mirror.children_of(namespace, "a") == ("b",))
        following.cancel()


async def test_rounds_are_committed_once_and_only_by_the_owner(etcd: Etcd, namespace: str) -> None:
    store, shard = EtcdRoundStore(etcd), shard_of(namespace, "c", SHARDS)
    await etcd.delete(keys.shard_owner(shard))
    epoch = await etcd.put(keys.shard_owner(shard), b"me")
    signal = stored_job_pb2.StoredSignal(namespace=namespace, job_id="c", parent_id="a", execution_id=uuid4().hex)
    trigger = stored_job_pb2.StoredTrigger(execution_id=uuid4().hex, namespace=namespace, job_id="c")
    await etcd.put(keys.signal(shard, signal.execution_id, "c"), signal.SerializeToString())
    nothing = await store.find(shard, namespace, "c")
    wanted = VersionedRound(
        namespace=namespace, job_id="c", stored=stored_job_pb2.StoredRound(job_uid="u"), revision=nothing.revision
    )
    assert await store.commit(shard, epoch - 1, wanted, taken=[signal], triggers=[trigger]) is None
    written = await store.commit(shard, epoch, wanted, taken=[signal], triggers=[trigger])
    assert written is not None
    assert written in await store.rounds(shard)
    assert await store.find(shard, namespace, "c") == written
    assert await etcd.get(keys.signal(shard, signal.execution_id, "c")) is None
    assert await etcd.get(keys.trigger(shard, trigger.execution_id)) is not None
    assert await store.commit(shard, epoch, wanted, taken=[], triggers=[]) is None
    empty = VersionedRound(
        namespace=namespace, job_id="c", stored=stored_job_pb2.StoredRound(), revision=written.revision
    )
    assert (await store.commit(shard, epoch, empty, taken=[], triggers=[])) is not None
    assert await etcd.get(keys.job_round(shard, namespace, "c")) is None
    await etcd.delete(keys.trigger(shard, trigger.execution_id))
    await etcd.delete(keys.shard_owner(shard))
