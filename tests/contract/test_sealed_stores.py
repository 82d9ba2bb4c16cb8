"""What the stores of jobs put into etcd when there is a key: no secret in clear, whoever writes and wherever."""

import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import SystemClock
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from libs.sealed_fields import sealed_paths
from services.scheduler.adapters.etcd_jobs import EtcdJobStore
from services.scheduler.adapters.etcd_shards import EtcdShardStore
from services.scheduler.adapters.etcd_triggers import EtcdTriggerStore
from services.scheduler.adapters.etcd_versions import EtcdVersionStore
from services.scheduler.adapters.sealed import Sealed
from services.scheduler.domain.identity import shard_of
from tests.fakes.etcd import FakeEtcd

SHARDS = 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY, OTHER = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
SECRET = "hunter2-in-clear"


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


def stored(namespace: str, version: int = 1, uid: str = "") -> stored_job_pb2.StoredJob:
    made = stored_job_pb2.StoredJob()
    made.job.namespace, made.job.id, made.job.uid, made.job.version = namespace, "a", uid or str(uuid4()), version
    made.job.webhook.url = "https://a.example/"
    made.job.webhook.auth.bearer.token = SECRET
    made.job.updated_at.FromDatetime(NOW)
    return made


async def values_about(etcd: Etcd, namespace: str) -> dict[bytes, bytes]:
    """Everything in etcd that belongs to a namespace."""
    everything = await etcd.list_prefix(b"/chronos/")
    return {item.key: item.value for item in everything.items if namespace.encode() in item.key + item.value}


async def first_jobs(shards: EtcdShardStore, shard: int, namespace: str) -> list[stored_job_pb2.StoredJob]:
    async with aclosing(shards.jobs(shard)) as changes:
        async for change in changes:
            return [found for found in change.jobs if found.job.namespace == namespace]
    return []


async def test_no_store_writes_a_secret_in_clear_and_every_store_reads_it(etcd: Etcd, namespace: str) -> None:
    sealed, shard = Sealed([KEY]), shard_of(namespace, "a", SHARDS)
    jobs, shards = EtcdJobStore(etcd, SHARDS, sealed), EtcdShardStore(etcd, sealed)
    first = stored(namespace)
    written = await jobs.insert(first)
    second = stored(namespace, 2, first.job.uid)
    written = await jobs.replace(second, revision=written.revision)
    trigger = stored_job_pb2.StoredTrigger(
        execution_id=str(uuid4()), namespace=namespace, job_id="a", job_uid=first.job.uid, webhook=first.job.webhook
    )
    triggers = EtcdTriggerStore(etcd, SHARDS, sealed)
    await triggers.add(trigger, request_id="r")
    many = stored_job_pb2.StoredTrigger()
    many.CopyFrom(trigger)
    many.execution_id = str(uuid4())
    await triggers.add_many([many])

    kept = await values_about(etcd, namespace)
    assert sum(b"enc:v1:" in value for value in kept.values()) == 6  # The job, two versions, two triggers, a request.
    assert [key for key, value in kept.items() if SECRET.encode() in value] == []

    assert (await jobs.get(namespace, "a")) == written
    assert [each.stored for each in (await jobs.page(namespace, after_id="", limit=9)).jobs] == [second]
    assert await EtcdVersionStore(etcd, sealed).get(namespace, "a", 1) == first
    assert list(await EtcdVersionStore(etcd, sealed).get_many([(namespace, "a", 2)])) == [second]
    assert await first_jobs(shards, shard, namespace) == [second]
    async with aclosing(shards.triggers(shard)) as changes:
        change = await anext(changes)
    mine = {each.execution_id: each for each in change.triggers if each.namespace == namespace}
    assert mine == {trigger.execution_id: trigger, many.execution_id: many}
    assert (await triggers.add(many, request_id="r")).trigger == trigger
    assert [promise.trigger for promise in await triggers.add_many([many])] == [many]

    await jobs.delete(namespace, "a", revision=written.revision, at=NOW)
    [buried] = [each for each in await shards.tombstones(shard) if each.versions[-1].job.namespace == namespace]
    assert list(buried.versions) == [first, second]
    assert not any(SECRET.encode() in value for value in (await values_about(etcd, namespace)).values())


async def test_a_job_without_its_key_is_there_and_the_others_of_its_shard_are_whole(etcd: Etcd, namespace: str) -> None:
    lost = stored(namespace)
    await EtcdJobStore(etcd, SHARDS, Sealed([KEY])).insert(lost)
    now = Sealed([OTHER])
    jobs = EtcdJobStore(etcd, SHARDS, now)
    found = await jobs.get(namespace, "a")
    assert found is not None
    assert sealed_paths(found.stored) == ["job.webhook.auth.bearer.token"]
    assert [
        each.job.uid
        for each in await first_jobs(EtcdShardStore(etcd, now), shard_of(namespace, "a", SHARDS), namespace)
    ] == [lost.job.uid]
    # Deleted without the key, and still whole for who has it.
    await jobs.delete(namespace, "a", revision=found.revision, at=NOW)
    shards = EtcdShardStore(etcd, Sealed([KEY]))
    tombstones = await shards.tombstones(shard_of(namespace, "a", SHARDS))
    [buried] = [each for each in tombstones if each.versions[-1].job.namespace == namespace]
    assert list(buried.versions) == [lost]


async def test_what_was_stored_in_clear_is_encrypted_when_it_is_written_next(etcd: Etcd, namespace: str) -> None:
    first = stored(namespace)
    written = await EtcdJobStore(etcd, SHARDS).insert(first)
    jobs = EtcdJobStore(etcd, SHARDS, Sealed([KEY]))
    assert await jobs.get(namespace, "a") == written
    await jobs.replace(stored(namespace, 2, first.job.uid), revision=written.revision)
    clear = [key for key, value in (await values_about(etcd, namespace)).items() if SECRET.encode() in value]
    assert [key.endswith(b"1") for key in clear] == [True]  # Version 1 stays as it was written.
