"""What the store of policies promises: the fake, and etcd (in memory and real). And what its mirror makes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from chronos.policy.v1 import policy_pb2, stored_policy_pb2

from libs.clock import SystemClock
from libs.etcd import keys
from libs.etcd.client import EtcdClient
from libs.etcd.port import Etcd
from libs.faults import AlreadyExists, Stale
from services.policy.adapters.etcd_policies import EtcdPolicyStore
from services.policy.adapters.policy_book import EtcdPolicyBook
from services.policy.domain.judging import Question
from services.policy.domain.policy import Operation
from services.policy.ports import VERSIONS_KEPT, Edition, PolicyStore, VersionedPolicy
from services.policy.reading import read_policy
from tests.fakes.etcd import FakeEtcd
from tests.fakes.policy_store import FakePolicyStore

StoredPolicy = stored_policy_pb2.StoredPolicy
Policy = policy_pb2.Policy
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
async def store(request: pytest.FixtureRequest) -> AsyncIterator[PolicyStore]:
    if request.param == "fake":
        yield FakePolicyStore()
        return
    client: Etcd
    if request.param == "etcd":
        client = EtcdClient(request.getfixturevalue("shared_etcd").endpoints)
    else:
        client = FakeEtcd(SystemClock())
    yield EtcdPolicyStore(client)
    await client.close()


@pytest.fixture
def name() -> str:
    return f"p-{uuid4().hex[:12]}"


def stored(policy_id: str, *, name: str = "", version: int = 1, value: str = "a", enabled: bool = True) -> StoredPolicy:
    """A policy that wants the tag team to be `value`, in the namespace that is named as the policy."""
    test = policy_pb2.Condition(field="tags.team", operator="equals")
    test.value.string_value = value
    rule = policy_pb2.Rule(id="team", name="team", condition=test)
    wish = Policy(id=policy_id, name=name or policy_id, rules=[rule], namespaces=[policy_id], enabled=enabled)
    found = read_policy(wish)
    found.policy.version = version
    return found


async def test_a_policy_is_read_as_it_was_written(store: PolicyStore, name: str) -> None:
    assert await store.get(name) is None
    assert await store.versions(name) == []
    before = await store.count()
    written = await store.insert(stored(name))
    assert await store.get(name) == written
    assert await store.owner_of(name) == name
    assert await store.count() == before + 1
    assert [found.policy.version for found in await store.versions(name)] == [1]


async def test_an_id_is_taken_once(store: PolicyStore, name: str) -> None:
    await store.insert(stored(name))
    with pytest.raises(AlreadyExists):
        await store.insert(stored(name, name=f"{name} another"))
    assert await store.owner_of(f"{name} another") == ""


async def test_a_name_is_taken_once(store: PolicyStore, name: str) -> None:
    await store.insert(stored(name, name=f"{name}: Käse / 1"))
    with pytest.raises(AlreadyExists, match=name):
        await store.insert(stored(f"{name}-2", name=f"{name}: Käse / 1"))
    assert await store.get(f"{name}-2") is None


async def test_of_many_who_create_at_once_one_wins(store: PolicyStore, name: str) -> None:
    wishes = [stored(f"{name}-{number}", name=name) for number in range(8)]
    results = await asyncio.gather(*map(store.insert, wishes), return_exceptions=True)
    (winner,) = [found for found in results if isinstance(found, VersionedPolicy)]
    assert all(isinstance(found, AlreadyExists) for found in results if found is not winner)
    assert await store.owner_of(name) == winner.stored.policy.id


async def test_only_the_version_that_was_read_is_changed(store: PolicyStore, name: str) -> None:
    first = await store.insert(stored(name))
    second = await store.replace(stored(name, version=2, value="b"), current=first)
    with pytest.raises(Stale):
        await store.replace(stored(name, version=2, value="c"), current=first)
    with pytest.raises(Stale):
        await store.delete(first)
    assert await store.get(name) == second
    assert [found.policy.version for found in await store.versions(name)] == [2, 1]


async def test_a_policy_may_be_renamed_and_its_old_name_is_free_then(store: PolicyStore, name: str) -> None:
    first = await store.insert(stored(name, name=f"{name} old"))
    await store.replace(stored(name, name=f"{name} new", version=2), current=first)
    assert await store.owner_of(f"{name} new") == name
    assert await store.owner_of(f"{name} old") == ""
    await store.insert(stored(f"{name}-2", name=f"{name} old"))


async def test_nobody_gets_a_name_that_is_taken_by_renaming(store: PolicyStore, name: str) -> None:
    first = await store.insert(stored(name))
    await store.insert(stored(f"{name}-2"))
    with pytest.raises(AlreadyExists, match=f"{name}-2"):
        await store.replace(stored(name, name=f"{name}-2", version=2), current=first)
    assert await store.get(name) == first


async def test_a_deleted_policy_leaves_nothing(store: PolicyStore, name: str) -> None:
    first = await store.insert(stored(name))
    second = await store.replace(stored(name, version=2), current=first)
    await store.delete(second)
    assert await store.get(name) is None
    assert await store.versions(name) == []
    with pytest.raises(Stale):
        await store.replace(stored(name, version=3), current=second)
    await store.insert(stored(name))
    assert [found.policy.version for found in await store.versions(name)] == [1]


async def test_the_last_versions_are_kept(store: PolicyStore, name: str) -> None:
    current = await store.insert(stored(name))
    for version in range(2, VERSIONS_KEPT + 4):
        current = await store.replace(stored(name, version=version), current=current)
    versions = [found.policy.version for found in await store.versions(name)]
    assert versions == list(range(VERSIONS_KEPT + 3, 3, -1))


async def test_policies_are_listed_by_id_in_pages(store: PolicyStore, name: str) -> None:
    ids = [f"{name}-{number}" for number in range(5)]
    for policy_id in reversed(ids):
        await store.insert(stored(policy_id))
    page, has_more = await store.page(after_id=name, limit=3)
    assert ([found.stored.policy.id for found in page], has_more) == (ids[:3], True)
    page, _ = await store.page(after_id=ids[2], limit=2)
    assert [found.stored.policy.id for found in page] == ids[3:]


@asynccontextmanager
async def followed(etcd: Etcd) -> AsyncIterator[EtcdPolicyBook]:
    book = EtcdPolicyBook(etcd)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        following = group.create_task(book.run())
        await book.changed(None)
        yield book
        following.cancel()


async def at_least(book: EtcdPolicyBook, revision: int) -> Edition:
    edition = await book.changed(None)
    while edition.revision < revision:
        edition = await book.changed(edition)
    return edition


def question(namespace: str, team: str = "b", operation: Operation = Operation.CREATE) -> Question:
    return Question(operation=operation, namespace=namespace, facts={"job": {"tags": {"team": team}}}, time=NOW)


def said(edition: Edition, namespace: str, **about: Operation) -> list[str]:
    decision = edition.policies.judge(question(namespace, **about)).decision
    return [found.rule_id for found in decision.violations]


async def test_a_mirror_judges_by_what_is_stored(etcd: Etcd, name: str) -> None:
    store = EtcdPolicyStore(etcd)
    first = await store.insert(stored(name))
    async with followed(etcd) as book:
        edition = await at_least(book, first.revision)
        assert said(edition, name) == ["team"]
        second = await store.replace(stored(name, version=2, value="b"), current=first)
        newer = await at_least(book, second.revision)
        assert said(newer, name) == []
        assert said(edition, name) == ["team"]
        third = await store.replace(stored(name, version=3, value="c", enabled=False), current=second)
        assert said(await at_least(book, third.revision), name) == []


async def test_a_mirror_knows_no_policy_that_is_deleted(etcd: Etcd, name: str) -> None:
    store = EtcdPolicyStore(etcd)
    first = await store.insert(stored(name))
    async with followed(etcd) as book:
        await at_least(book, first.revision)
        await store.delete(first)
        assert said(await at_least(book, first.revision + 1), name) == []


async def test_a_mirror_that_starts_after_a_deletion_is_not_behind_one_that_saw_it(etcd: Etcd, name: str) -> None:
    store = EtcdPolicyStore(etcd)
    first = await store.insert(stored(name))
    async with followed(etcd) as old:
        await at_least(old, first.revision)
        await store.delete(first)
        seen = (await at_least(old, first.revision + 1)).revision
        async with followed(etcd) as new:
            assert (await new.changed(None)).revision >= seen


async def test_a_policy_of_a_newer_release_refuses_what_it_applies_to(etcd: Etcd, name: str) -> None:
    newer = stored(name)
    newer.policy.rules[0].condition.operator = "sounds_like"
    revision = await etcd.put(keys.policy(name), newer.SerializeToString())
    async with followed(etcd) as book:
        edition = await at_least(book, revision)
        decision = edition.policies.judge(question(name, "a")).decision
        assert [(found.policy_id, found.rule_id) for found in decision.violations] == [(name, "unreadable")]
        assert "cannot be read by this release" in decision.violations[0].message
        assert said(edition, f"{name}-elsewhere") == []
        assert said(edition, name, operation=Operation.RUN) == []


async def test_a_policy_of_a_type_that_is_not_known_refuses_every_operation(etcd: Etcd, name: str) -> None:
    newer = stored(name)
    newer.policy.type = 99  # type: ignore[assignment]
    revision = await etcd.put(keys.policy(name), newer.SerializeToString())
    async with followed(etcd) as book:
        edition = await at_least(book, revision)
        assert {operation for operation in Operation if said(edition, name, operation=operation)} == set(Operation)


async def test_a_policy_of_a_newer_release_that_is_disabled_refuses_nothing(etcd: Etcd, name: str) -> None:
    newer = stored(name, enabled=False)
    newer.policy.rules[0].condition.operator = "sounds_like"
    revision = await etcd.put(keys.policy(name), newer.SerializeToString())
    async with followed(etcd) as book:
        assert said(await at_least(book, revision), name) == []


async def test_bytes_that_are_no_policy_refuse_everything_until_they_are_gone(etcd: Etcd, name: str) -> None:
    revision = await etcd.put(keys.policy(name), b"\xff\xff\xff")
    async with followed(etcd) as book:
        assert said(await at_least(book, revision), "anywhere") == ["unreadable"]
        await etcd.delete(keys.policy(name))
        assert said(await at_least(book, revision + 1), "anywhere") == []
