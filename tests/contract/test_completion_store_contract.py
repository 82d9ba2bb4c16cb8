"""What the store of completions promises: the fake, and etcd (in memory and real)."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import uuid4

import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import SystemClock
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from services.scheduler.adapters.etcd_completions import EtcdCompletionStore
from services.scheduler.adapters.etcd_shards import EtcdShardStore
from services.scheduler.adapters.etcd_triggers import EtcdTriggerStore
from services.scheduler.domain.identity import shard_of
from services.scheduler.ports.ledger import Status
from services.scheduler.ports.orders import CompletionStore
from tests.fakes.etcd import FakeEtcd
from tests.fakes.versions import FakeCompletionStore

SHARDS = 64
Execution = execution_pb2.Execution


@pytest.fixture(params=["etcd in memory", pytest.param("etcd", marks=pytest.mark.etcd)])
async def etcd(request: pytest.FixtureRequest) -> AsyncIterator[Etcd]:
    if request.param == "etcd in memory":
        yield FakeEtcd(SystemClock())
        return
    client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    yield client
    await client.close()


def end(identity: str, status: Status = Execution.SUCCESS) -> stored_job_pb2.StoredCompletion:
    execution = Execution(id=identity, namespace="default", job_id=f"job-{identity}", status=status)
    return stored_job_pb2.StoredCompletion(execution=execution)


async def check_that_the_first_counts(store: CompletionStore) -> None:
    identity = str(uuid4())
    first, second = end(identity, Execution.TIMED_OUT), end(identity)
    assert await store.add(first) == first
    assert await store.add(second) == first
    assert await store.add(end(str(uuid4()))) != first


async def test_the_first_one_counts(etcd: Etcd) -> None:
    await check_that_the_first_counts(EtcdCompletionStore(etcd, SHARDS))


async def test_the_first_one_counts_with_the_fake_too() -> None:
    await check_that_the_first_counts(FakeCompletionStore())


async def test_the_owner_of_the_shard_hears_of_it_until_it_is_settled(etcd: Etcd) -> None:
    completion = end(str(uuid4()))
    shard = shard_of("default", completion.execution.job_id, SHARDS)
    async with aclosing(EtcdShardStore(etcd).triggers(shard)) as changes:
        first = await anext(changes)
        assert completion not in first.completions
        await EtcdCompletionStore(etcd, SHARDS).add(completion)
        change = await anext(changes)
        assert (list(change.completions), list(change.triggers), change.is_complete) == ([completion], [], False)
    await EtcdTriggerStore(etcd, SHARDS).settle_completions([(shard, completion.execution.id)])
    async with aclosing(EtcdShardStore(etcd).triggers(shard)) as changes:
        assert completion not in (await anext(changes)).completions
