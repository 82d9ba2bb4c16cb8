"""What the scheduler knows of policies without asking."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from chronos.policy.v1 import policy_pb2, stored_policy_pb2

from libs.etcd import keys
from services.scheduler.adapters.etcd_policy_book import EVERYTHING, EtcdPolicyBook, EtcdPolicyFinder
from tests.eventually import soon
from tests.fakes.etcd import FakeEtcd

Policy, Rule = policy_pb2.Policy, policy_pb2.Rule
NO_TAGS: dict[str, str] = {}


@pytest.fixture
def etcd() -> FakeEtcd:
    return FakeEtcd()


@asynccontextmanager
async def following(etcd: FakeEtcd) -> AsyncIterator[EtcdPolicyBook]:
    book = EtcdPolicyBook(etcd)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(book.run())
        await book.ready()
        yield book
        task.cancel()


async def store(etcd: FakeEtcd, policy_id: str, *uses: str, **fields: object) -> int:
    policy = Policy(id=policy_id, enabled=True)
    policy.MergeFrom(Policy(**fields))  # type: ignore[arg-type]
    stored = stored_policy_pb2.StoredPolicy(policy=policy, uses=uses)
    return await etcd.put(keys.policy(policy_id), stored.SerializeToString())


async def test_until_policies_were_read_everything_has_to_be_asked_about(etcd: FakeEtcd) -> None:
    assert EtcdPolicyBook(etcd).uses(Policy.RUN, "default", NO_TAGS) == EVERYTHING
    async with following(etcd) as book:
        assert book.uses(Policy.RUN, "default", NO_TAGS) is None
        assert book.revision == 0


async def test_a_policy_applies_to_the_operations_of_its_type_or_those_that_it_names(etcd: FakeEtcd) -> None:
    await store(etcd, "jobs", "timing")
    await store(etcd, "runs", "now", type=Policy.EXECUTION)
    await store(etcd, "many", "load", type=Policy.CLUSTER, operations=[Policy.NAMESPACE])
    async with following(etcd) as book:
        found = {
            Policy.Operation.Name(operation): book.uses(operation, "default", NO_TAGS)
            for operation in Policy.Operation.values()
            if operation
        }
    of_jobs, of_runs = frozenset({"timing"}), frozenset({"now"})
    assert found == {
        **dict.fromkeys(("CREATE", "UPDATE", "DELETE", "ENABLE"), of_jobs),
        **dict.fromkeys(("RUN", "TRIGGER", "REPLAY", "BACKFILL"), of_runs),
        "NAMESPACE": frozenset({"load"}),
        "CALENDAR": None,
    }


async def test_a_policy_applies_in_its_namespaces_and_to_jobs_with_its_tags(etcd: FakeEtcd) -> None:
    await store(etcd, "p", namespaces=["team"], tags={"env": "prod", "owner": ""})
    async with following(etcd) as book:
        tags = {"env": "prod", "owner": "me", "more": "x"}
        assert book.uses(Policy.CREATE, "team", tags) == frozenset()
        assert book.uses(Policy.CREATE, "default", tags) is None
        assert book.uses(Policy.CREATE, "team", {"env": "prod"}) is None
        assert book.uses(Policy.CREATE, "team", {"env": "test", "owner": "me"}) is None


async def test_what_several_policies_look_at_is_put_together(etcd: FakeEtcd) -> None:
    await store(etcd, "a", "now")
    await store(etcd, "b", "load", tags={"env": "prod"})
    async with following(etcd) as book:
        assert book.uses(Policy.CREATE, "default", NO_TAGS) == frozenset({"now"})
        assert book.uses(Policy.CREATE, "default", {"env": "prod"}) == frozenset({"now", "load"})


async def test_changes_are_followed_and_a_disabled_policy_applies_to_nothing(etcd: FakeEtcd) -> None:
    async with following(etcd) as book:
        first = await store(etcd, "p", "now")
        await soon(lambda: book.revision == first)
        assert book.uses(Policy.CREATE, "default", NO_TAGS) == frozenset({"now"})
        second = await store(etcd, "p", "now", enabled=False)
        await soon(lambda: book.revision == second)
        assert book.uses(Policy.CREATE, "default", NO_TAGS) is None
        third = await store(etcd, "p", "load")
        await soon(lambda: book.revision == third)
        assert book.uses(Policy.CREATE, "default", NO_TAGS) == frozenset({"load"})
        await etcd.delete(keys.policy("p"))
        await soon(lambda: book.revision == third + 1)
        assert book.uses(Policy.CREATE, "default", NO_TAGS) is None


async def test_a_policy_that_cannot_be_read_applies_to_everything(etcd: FakeEtcd) -> None:
    await etcd.put(keys.policy("p"), b"\xff\xff\xff")
    async with following(etcd) as book:
        assert book.uses(Policy.NAMESPACE, "default", NO_TAGS) == EVERYTHING


async def test_who_starts_later_asks_for_no_revision_that_others_cannot_know(etcd: FakeEtcd) -> None:
    kept = await store(etcd, "kept")
    await etcd.put(b"/chronos/v1/other", b"x")
    async with following(etcd) as book:
        assert book.revision == kept


async def test_a_policy_that_went_unseen_counts_as_a_change(etcd: FakeEtcd) -> None:
    await store(etcd, "kept")
    last = await store(etcd, "gone")
    async with following(etcd) as book:
        etcd.is_away = True
        other = etcd.another_client()
        await other.delete(keys.policy("gone"))
        await other.put(b"/chronos/v1/other", b"x")
        await other.compact(last + 2)
        etcd.is_away = False
        await soon(lambda: book.revision > last)
        assert book.revision == last + 1


async def test_stored_policies_are_found_by_their_id(etcd: FakeEtcd) -> None:
    await store(etcd, "p", "now", name="Freeze", enabled=False)
    finder = EtcdPolicyFinder(etcd)
    found = await finder.find("p")
    assert found is not None
    assert (found.policy.name, list(found.uses)) == ("Freeze", ["now"])
    assert await finder.find("q") is None


async def test_a_policy_of_which_no_rule_denies_is_harmless(etcd: FakeEtcd) -> None:
    assert EtcdPolicyBook(etcd).can_deny(Policy.CREATE, "default", NO_TAGS)
    warning = Rule(id="w", action=Policy.WARN)
    await store(etcd, "warns", action=Policy.WARN, rules=[Rule(id="a"), warning], tags={"env": "prod"})
    async with following(etcd) as book:
        assert book.uses(Policy.CREATE, "default", {"env": "prod"}) == frozenset()
        assert not book.can_deny(Policy.CREATE, "default", {"env": "prod"})
        assert not book.can_deny(Policy.CREATE, "default", NO_TAGS)
    await store(etcd, "denies", rules=[warning, Rule(id="d")], tags={"env": "prod"})
    async with following(etcd) as book:
        assert book.can_deny(Policy.CREATE, "default", {"env": "prod"})
        assert not book.can_deny(Policy.CREATE, "default", {"env": "test"})
        assert not book.can_deny(Policy.RUN, "default", {"env": "prod"})
