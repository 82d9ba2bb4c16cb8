"""What reservations of quotas promise: the fake, and etcd (in memory and real)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Protocol
from uuid import uuid4

import pytest

from libs.clock import SystemClock
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from libs.faults import Unavailable
from services.scheduler.adapters.etcd_quotas import EtcdQuotaStore
from services.scheduler.domain.quota import Share
from services.scheduler.ports.namespaces import QuotaStore
from tests.fakes.etcd import FakeEtcd
from tests.fakes.quotas import FakeQuotas

HOUR = "2026010100"


class OpenStore(Protocol):
    def __call__(self, instance: str) -> QuotaStore: ...


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
async def open_store(request: pytest.FixtureRequest) -> AsyncIterator[OpenStore]:
    if request.param == "fake":
        yield FakeQuotas().store_of
        return
    client: Etcd
    if request.param == "etcd":
        client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    else:
        client = FakeEtcd(SystemClock())
    lease = await client.grant(timedelta(seconds=60))
    yield lambda instance: EtcdQuotaStore(client, instance, lambda: lease)
    await client.revoke(lease)
    await client.close()


@pytest.fixture
def name() -> str:
    return f"n-{uuid4().hex[:12]}"


async def test_replicas_never_reserve_more_executions_than_the_quota(open_store: OpenStore, name: str) -> None:
    stores = [open_store(f"s{number}") for number in range(3)]
    taken = await asyncio.gather(
        *(stores[number % 3].reserve_executions(name, HOUR, wanted=7, quota=40) for number in range(9))
    )
    assert sum(taken) == 40
    assert max(taken) == 7
    assert await stores[0].reserve_executions(name, HOUR, wanted=1, quota=40) == 0
    assert await stores[0].reserve_executions(name, HOUR, wanted=5, quota=41) == 1
    assert await stores[0].reserve_executions(name, "2026010101", wanted=5, quota=40) == 5


async def test_a_share_is_seen_by_all_and_written_only_over_what_was_read(open_store: OpenStore, name: str) -> None:
    one, other = open_store("one"), open_store("other")
    shares, revision = await one.shares(name)
    assert shares == {}
    assert await one.put_share(name, Share(reserved=2, waiting=1), revision=revision)
    assert not await other.put_share(name, Share(reserved=9), revision=revision)
    shares, revision = await other.shares(name)
    assert shares == {"one": Share(reserved=2, waiting=1)}
    assert await other.put_share(name, Share(waiting=3), revision=revision)
    shares, revision = await one.shares(name)
    assert shares == {"one": Share(reserved=2, waiting=1), "other": Share(waiting=3)}
    assert await one.put_share(name, Share(), revision=revision)
    assert (await one.shares(name))[0] == {"other": Share(waiting=3)}


async def test_the_slots_of_a_replica_are_free_when_its_lease_ends(etcd: Etcd, name: str) -> None:
    lease = await etcd.grant(timedelta(seconds=60))
    store = EtcdQuotaStore(etcd, "one", lambda: lease)
    _, revision = await store.shares(name)
    assert await store.put_share(name, Share(reserved=2), revision=revision)
    await etcd.revoke(lease)
    shares, revision = await store.shares(name)
    assert shares == {}
    with pytest.raises(Unavailable):
        await store.put_share(name, Share(reserved=2), revision=revision)
    with pytest.raises(Unavailable, match="no lease"):
        await EtcdQuotaStore(etcd, "one", lambda: 0).put_share(name, Share(reserved=2), revision=revision)
