"""What every etcd client promises: the fake one and the real one alike."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest

from libs.clock import SystemClock
from libs.etcd.client import (
    Changes,
    Compare,
    Delete,
    DeletePrefix,
    Etcd,
    EtcdClient,
    EventKind,
    Get,
    GetPrefix,
    LeaseLost,
    Put,
    Snapshot,
)
from libs.etcd.keys import end_of
from libs.faults import Fault
from tests.fakes.etcd import FakeEtcd
from tests.simulation.etcd import SimEtcd, SimEtcdClient
from tests.simulation.network import Conditions, Network

TTL = timedelta(seconds=2)
Updates = AsyncGenerator[Snapshot | Changes, None]


@pytest.fixture(params=["fake", "simulated", pytest.param("real", marks=pytest.mark.etcd)])
async def etcd(request: pytest.FixtureRequest) -> AsyncIterator[Etcd]:
    client: Etcd
    if request.param == "fake":
        client = FakeEtcd(SystemClock())
    elif request.param == "simulated":
        network = Network(random.Random(1), Conditions(delay=(0.0, 0.0)))
        cluster = SimEtcd(network, random.Random(2), names=("etcd-0",))
        client = SimEtcdClient(cluster, "caller", network, SystemClock(), random.Random(3))
    else:
        client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    await client.wait_until_ready(_NoLog())
    yield client
    await client.close()


@pytest.fixture
def prefix() -> bytes:
    return f"/test/{uuid4()}/".encode()


class _NoLog:
    def info(self, event: str, **fields: object) -> None:
        pass

    def warning(self, event: str, **fields: object) -> None:
        pass


async def test_what_was_put_can_be_got(etcd: Etcd, prefix: bytes) -> None:
    revision = await etcd.put(prefix + b"a", b"one")
    found = await etcd.get(prefix + b"a")
    assert found is not None
    assert (found.value, found.create_revision, found.mod_revision, found.lease) == (b"one", revision, revision, 0)


async def test_an_absent_key_is_none(etcd: Etcd, prefix: bytes) -> None:
    assert await etcd.get(prefix + b"a") is None


async def test_a_second_put_keeps_the_create_revision(etcd: Etcd, prefix: bytes) -> None:
    first = await etcd.put(prefix + b"a", b"one")
    second = await etcd.put(prefix + b"a", b"two")
    found = await etcd.get(prefix + b"a")
    assert found is not None
    assert (found.create_revision, found.mod_revision) == (first, second)
    assert second > first


async def test_delete_says_whether_the_key_was_there(etcd: Etcd, prefix: bytes) -> None:
    await etcd.put(prefix + b"a", b"one")
    assert await etcd.delete(prefix + b"a")
    assert not await etcd.delete(prefix + b"a")
    assert await etcd.get(prefix + b"a") is None


async def test_values_are_any_bytes(etcd: Etcd, prefix: bytes) -> None:
    value = bytes(range(256)) * 400
    await etcd.put(prefix + b"\xff\x00", value)
    found = await etcd.get(prefix + b"\xff\x00")
    assert found is not None
    assert found.value == value


async def test_get_many_keeps_the_order_and_the_gaps(etcd: Etcd, prefix: bytes) -> None:
    for name in (b"a", b"b"):
        await etcd.put(prefix + name, name)
    found = await etcd.get_many([prefix + b"b", prefix + b"missing", prefix + b"a", prefix + b"b"])
    assert [item and item.value for item in found] == [b"b", None, b"a", b"b"]
    assert await etcd.get_many([]) == []


async def test_get_many_takes_more_keys_than_a_transaction(etcd: Etcd, prefix: bytes) -> None:
    names = [prefix + f"{i:04}".encode() for i in range(300)]
    for start in range(0, 300, 100):
        await etcd.txn([], [Put(name, name) for name in names[start : start + 100]])
    found = await etcd.get_many(names)
    assert [item and item.value for item in found] == names


async def test_a_listing_is_sorted_and_holds_only_the_prefix(etcd: Etcd, prefix: bytes) -> None:
    await etcd.txn([], [Put(prefix + name, name) for name in (b"c", b"a", b"b")])
    await etcd.put(prefix[:-1] + b"0", b"the key right after the prefix")
    listing = await etcd.list_prefix(prefix)
    assert [item.value for item in listing.items] == [b"a", b"b", b"c"]
    assert not listing.has_more


async def test_a_listing_goes_on_after_a_key(etcd: Etcd, prefix: bytes) -> None:
    await etcd.txn([], [Put(prefix + name, name) for name in (b"a", b"b", b"b1", b"c")])
    first = await etcd.list_prefix(prefix, limit=2)
    assert [item.value for item in first.items] == [b"a", b"b"]
    assert first.has_more
    rest = await etcd.list_prefix(prefix, after=first.items[-1].key, limit=2)
    assert [item.value for item in rest.items] == [b"b1", b"c"]
    assert not rest.has_more


async def test_a_long_listing_is_complete_and_counted(etcd: Etcd, prefix: bytes) -> None:
    names = [prefix + f"{i:05}".encode() for i in range(1_234)]
    for start in range(0, len(names), 128):
        await etcd.txn([], [Put(name, b"v") for name in names[start : start + 128]])
    listing = await etcd.list_prefix(prefix)
    assert [item.key for item in listing.items] == names
    assert await etcd.count(prefix) == len(names)
    limited = await etcd.list_prefix(prefix, limit=700)
    assert [item.key for item in limited.items] == names[:700]
    assert limited.has_more


async def test_a_listing_can_leave_out_the_values(etcd: Etcd, prefix: bytes) -> None:
    await etcd.put(prefix + b"a", b"one")
    [item] = (await etcd.list_prefix(prefix, keys_only=True)).items
    assert (item.key, item.value) == (prefix + b"a", b"")


async def test_a_transaction_takes_the_branch_of_its_comparisons(etcd: Etcd, prefix: bytes) -> None:
    key = prefix + b"a"
    taken = await etcd.txn([Compare.absent(key)], [Put(key, b"mine")], [Get(key)])
    assert taken.succeeded
    late = await etcd.txn([Compare.absent(key)], [Put(key, b"theirs")], [Get(key)])
    assert not late.succeeded
    found = late.responses[0].item
    assert found is not None
    assert found.value == b"mine"
    assert found.create_revision == taken.revision


@pytest.mark.parametrize("is_true", [True, False])
async def test_comparisons(etcd: Etcd, prefix: bytes, is_true: bool) -> None:
    key = prefix + b"a"
    lease = await etcd.grant(timedelta(minutes=1))
    created = await etcd.put(key, b"one")
    modified = await etcd.put(key, b"two", lease)
    off = 0 if is_true else 1
    conditions = [
        Compare.create_revision_is(key, created + off),
        Compare.mod_revision_is(key, modified + off),
        Compare.value_is(key, b"two" if is_true else b"one"),
        Compare.lease_is(key, lease + off),
        Compare.mod_revision_is(prefix + b"missing", off),
        Compare.absent(prefix + b"missing" if is_true else key),
    ]
    for condition in conditions:
        assert (await etcd.txn([condition], [], [])).succeeded is is_true
    assert (await etcd.txn(conditions, [])).succeeded is is_true


async def test_an_absent_key_has_no_value_to_compare(etcd: Etcd, prefix: bytes) -> None:
    assert not (await etcd.txn([Compare.value_is(prefix + b"a", b"")], [])).succeeded


async def test_all_steps_of_a_transaction_share_a_revision(etcd: Etcd, prefix: bytes) -> None:
    await etcd.txn([], [Put(prefix + b"old1", b""), Put(prefix + b"old2", b""), Put(prefix + b"x", b"")])
    result = await etcd.txn(
        [], [Put(prefix + b"a", b"1"), DeletePrefix(prefix + b"old"), Delete(prefix + b"x"), Delete(prefix + b"none")]
    )
    assert [response.deleted for response in result.responses] == [0, 2, 1, 0]
    [item] = (await etcd.list_prefix(prefix)).items
    assert item.mod_revision == result.revision


async def test_a_transaction_reads(etcd: Etcd, prefix: bytes) -> None:
    await etcd.txn([], [Put(prefix + name, name) for name in (b"a", b"b", b"c")])
    result = await etcd.txn([], [GetPrefix(prefix, limit=2, keys_only=True), Get(prefix + b"c"), Get(prefix + b"d")])
    assert [item.key for item in result.responses[0].items] == [prefix + b"a", prefix + b"b"]
    assert {item.value for item in result.responses[0].items} == {b""}
    assert [item.value for item in result.responses[1].items] == [b"c"]
    assert result.responses[2].item is None


async def test_a_transaction_that_puts_a_key_twice_is_refused(etcd: Etcd, prefix: bytes) -> None:
    with pytest.raises(Fault) as caught:
        await etcd.txn([], [Put(prefix + b"a", b"1"), Put(prefix + b"a", b"2")])
    assert caught.value.reason == "ETCD_REFUSED"


async def test_a_key_goes_with_its_lease(etcd: Etcd, prefix: bytes) -> None:
    lease = await etcd.grant(TTL)
    await etcd.put(prefix + b"a", b"one", lease)
    found = await etcd.get(prefix + b"a")
    assert found is not None
    assert found.lease == lease
    await etcd.revoke(lease)
    assert await etcd.get(prefix + b"a") is None


async def test_a_lease_ends_by_itself(etcd: Etcd, prefix: bytes) -> None:
    lease = await etcd.grant(TTL)
    await etcd.txn([], [Put(prefix + b"a", b"one", lease), Put(prefix + b"b", b"two", lease)])
    async with following(etcd, prefix) as updates:
        assert isinstance(await anext(updates), Snapshot)
        gone = await anext(updates)
    assert isinstance(gone, Changes)
    assert {event.key for event in gone.events} == {prefix + b"a", prefix + b"b"}
    assert all(event.is_delete for event in gone.events)
    assert not await etcd.keep_alive(lease)


async def test_a_lease_that_has_ended_takes_no_keys(etcd: Etcd, prefix: bytes) -> None:
    lease = await etcd.grant(TTL)
    assert await etcd.keep_alive(lease)
    await etcd.revoke(lease)
    await etcd.revoke(lease)
    assert not await etcd.keep_alive(lease)
    with pytest.raises(LeaseLost):
        await etcd.txn([], [Put(prefix + b"a", b"1"), Put(prefix + b"b", b"1", lease)])
    assert await etcd.count(prefix) == 0


async def test_a_follower_gets_the_state_and_then_each_change(etcd: Etcd, prefix: bytes) -> None:
    before = await etcd.put(prefix + b"a", b"one")
    async with following(etcd, prefix) as updates:
        snapshot = await anext(updates)
        assert isinstance(snapshot, Snapshot)
        assert [(item.value, item.mod_revision) for item in snapshot.items] == [(b"one", before)]
        assert snapshot.revision >= before

        result = await etcd.txn([], [Put(prefix + b"b", b"two"), Delete(prefix + b"a")])
        changes = await anext(updates)
    assert isinstance(changes, Changes)
    assert changes.revision == result.revision
    by_key = {event.key: event for event in changes.events}
    assert by_key[prefix + b"a"].kind is EventKind.DELETE
    put = by_key[prefix + b"b"]
    assert (put.kind, put.value, put.create_revision, put.mod_revision) == (
        EventKind.PUT,
        b"two",
        result.revision,
        result.revision,
    )


async def test_a_follower_sees_only_its_prefix(etcd: Etcd, prefix: bytes) -> None:
    async with following(etcd, prefix + b"1/") as updates:
        await anext(updates)
        await etcd.put(prefix + b"10/a", b"other")
        await etcd.put(prefix + b"1/a", b"mine")
        changes = await anext(updates)
    assert isinstance(changes, Changes)
    assert [event.value for event in changes.events] == [b"mine"]


async def test_a_follower_of_deletions_is_not_told_of_puts(etcd: Etcd, prefix: bytes) -> None:
    await etcd.put(prefix + b"a", b"one")
    async with following(etcd, prefix, deletes_only=True) as updates:
        snapshot = await anext(updates)
        assert isinstance(snapshot, Snapshot)
        assert len(snapshot.items) == 1
        await etcd.put(prefix + b"b", b"two")
        await etcd.delete(prefix + b"a")
        changes = await anext(updates)
    assert isinstance(changes, Changes)
    assert [(event.key, event.kind) for event in changes.events] == [(prefix + b"a", EventKind.DELETE)]


async def test_a_follower_misses_nothing_under_load(etcd: Etcd, prefix: bytes) -> None:
    async def write(worker: int) -> None:
        for i in range(50):
            await etcd.put(prefix + f"{worker}".encode(), f"{i}".encode())

    seen: dict[bytes, list[int]] = {}
    async with following(etcd, prefix) as updates, asyncio.TaskGroup() as group:
        await anext(updates)
        for worker in range(8):
            group.create_task(write(worker))
        while sum(map(len, seen.values())) < 400:
            changes = await anext(updates)
            assert isinstance(changes, Changes)
            for event in changes.events:
                seen.setdefault(event.key, []).append(int(event.value))
    assert list(seen.values()) == [list(range(50))] * 8


async def test_a_follower_that_is_up_to_date_does_not_notice_a_compaction(etcd: Etcd, prefix: bytes) -> None:
    async with following(etcd, prefix) as updates:
        await anext(updates)
        await etcd.put(prefix + b"a", b"one")
        await anext(updates)
        await etcd.compact(await etcd.put(prefix + b"a", b"two"))
        changes = await anext(updates)
        await etcd.put(prefix + b"a", b"three")
        last = await anext(updates)
    assert isinstance(changes, Changes)
    assert isinstance(last, Changes)
    assert last.events[0].value == b"three"


async def test_compacting_twice_is_fine(etcd: Etcd, prefix: bytes) -> None:
    revision = await etcd.put(prefix + b"a", b"one")
    await etcd.compact(revision)
    await etcd.compact(revision)
    assert await etcd.get(prefix + b"a")


async def test_statuses_tell_of_a_leader(etcd: Etcd) -> None:
    [status] = await etcd.statuses()
    assert status.is_healthy
    assert status.is_leader
    assert status.version.startswith("3.")
    assert not status.error


@pytest.mark.parametrize(
    ("prefix_", "end"), [(b"/a/", b"/a0"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"a\xfe", b"a\xff")]
)
def test_the_end_of_a_prefix_is_the_first_key_after_it(prefix_: bytes, end: bytes) -> None:
    assert end_of(prefix_) == end


@asynccontextmanager
async def following(etcd: Etcd, prefix: bytes, *, deletes_only: bool = False) -> AsyncIterator[Updates]:
    """A follower whose every step must come within a few seconds, closed at the end."""
    async with aclosing(etcd.follow(prefix, deletes_only=deletes_only)) as updates, aclosing(bounded(updates)) as steps:
        yield steps


async def bounded(updates: Updates) -> Updates:
    while True:
        async with asyncio.timeout(15):
            update = await anext(updates)
        yield update
