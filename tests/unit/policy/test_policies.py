import math
from datetime import timedelta
from typing import Any

import pytest
from chronos.policy.v1 import policy_pb2, stored_policy_pb2
from google.protobuf.json_format import ParseDict

from libs.faults import AlreadyExists, InvalidArgument, LimitReached, NotFound, Stale
from services.policy.policies import MOST_ANSWERED_BYTES, Policies
from services.policy.ports import VERSIONS_KEPT
from tests.fakes.clock import FakeClock
from tests.fakes.policy_store import FakePolicyStore

Policy = policy_pb2.Policy
TEAM = {"field": "tags.team", "operator": "exists"}


class Rig:
    """The use case over a store in memory, on a clock that stands still."""

    def __init__(self, max_policies: int = 1_000) -> None:
        self.store, self.clock = FakePolicyStore(), FakeClock()
        self.policies = Policies(self.store, self.clock, max_policies=max_policies)

    async def create(self, wish: Policy, *, validate_only: bool = False) -> Policy:
        return await self.policies.create(wish, validate_only=validate_only, author="k1")

    async def replace(self, wish: Policy, *, policy_id: str = "p", validate_only: bool = False) -> Policy:
        return await self.policies.replace(policy_id, wish, validate_only=validate_only, author="k2")

    async def break_it(self, policy_id: str = "p") -> None:
        """Stores the policy as a newer release could have left it."""
        current = await self.store.get(policy_id)
        assert current is not None
        newer = stored_policy_pb2.StoredPolicy()
        newer.CopyFrom(current.stored)
        newer.policy.rules[0].condition.operator = "sounds_like"
        await self.store.replace(newer, current=current)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def wish(name: str = "P", condition: Any = TEAM, **fields: Any) -> Policy:
    rules = [{"name": "Rule", "condition": condition}]
    return ParseDict({"name": name, "rules": rules, **fields}, Policy())


async def faults_of(rig: Rig, policy: Policy) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        await rig.create(policy)
    assert await rig.store.count() == 0
    return {found.field: found.description for found in caught.value.violations}


async def test_what_is_left_out_says_what_it_means(rig: Rig) -> None:
    created = await rig.create(wish("Team Labels"))
    assert created.id == "team-labels"
    assert (created.type, created.severity, created.action) == (Policy.JOB, Policy.ERROR, Policy.DENY)
    assert created.enabled
    assert created.rules[0].id == "rule"
    assert created.rules[0].action == Policy.ACTION_UNSPECIFIED
    assert (created.version, created.updated_by) == (1, "k1")
    assert created.created_at == created.updated_at
    assert created == await rig.policies.get("team-labels")


async def test_what_the_caller_cannot_say_is_not_believed(rig: Rig) -> None:
    created = await rig.create(wish(version=7, updated_by="chronos", created_at="2020-01-01T00:00:00Z", etag="5"))
    assert (created.version, created.updated_by) == (1, "k1")
    assert created.created_at.ToJsonString() == "2026-01-01T00:00:00Z"
    assert created.etag != "5"


async def test_operators_are_stored_by_their_own_names_however_deep(rig: Rig) -> None:
    condition = {
        "and": [
            {"or": [{"field": "name", "operator": "eq", "value": "a"}]},
            {"not": {"field": "name", "operator": "regex_matches", "value": "a"}},
        ]
    }
    stored = (await rig.create(wish(condition=condition))).rules[0].condition
    both = getattr(stored, "and")
    assert getattr(both[0], "or")[0].operator == "equals"
    assert getattr(both[1], "not").operator == "matches"


async def test_what_conditions_look_at_is_stored_for_those_who_ask(rig: Rig) -> None:
    either = [{"field": "now.hour", "operator": "lt", "value": 6}, {"expression": "timing.runs_per_day < 10"}]
    await rig.create(wish(condition={"or": either}))
    found = await rig.store.get("p")
    assert found is not None
    assert list(found.stored.uses) == ["now", "timing"]
    assert found.stored.policy.etag == ""


async def test_a_policy_that_means_nothing_is_refused_with_the_path_of_each_fault(rig: Rig) -> None:
    either = [
        {"field": "name", "operator": "sounds_like", "value": "a"},
        {"field": "name", "operator": "matches", "value": "("},
    ]
    faults = await faults_of(rig, wish(condition={"or": either}, timezone="Mars/Olympus"))
    assert set(faults) == {"rules[0].condition.or[0].operator", "rules[0].condition.or[1].value", "timezone"}


async def test_ids_that_cannot_be_made_are_asked_for(rig: Rig) -> None:
    policy = wish("日本")
    policy.rules[0].name = "語"
    assert set(await faults_of(rig, policy)) == {"id", "rules[0].id"}


@pytest.mark.parametrize("policy_id", ["evaluate", "dry-run"])
async def test_an_id_that_the_api_reads_otherwise_is_refused(rig: Rig, policy_id: str) -> None:
    assert "path of the API" in (await faults_of(rig, wish(id=policy_id)))["id"]


async def test_a_number_that_json_does_not_have_is_refused(rig: Rig) -> None:
    policy = wish(condition={"field": "priority", "operator": "lt", "value": 1})
    policy.rules[0].condition.value.number_value = math.nan
    assert "JSON" in (await faults_of(rig, policy))["rules"]


async def test_a_policy_that_etcd_would_not_take_is_refused(rig: Rig) -> None:
    policy = wish()
    policy.rules[0].message = "x" * 600_000
    assert "room for 524,288" in (await faults_of(rig, policy))["rules"]


async def test_ids_and_names_are_unique(rig: Rig) -> None:
    await rig.create(wish("One", id="a"))
    for again in (wish("Two", id="a"), wish("One", id="b")):
        for validate_only in (True, False):
            with pytest.raises(AlreadyExists):
                await rig.create(again, validate_only=validate_only)
    assert await rig.store.count() == 1


async def test_checking_changes_nothing(rig: Rig) -> None:
    assert (await rig.create(wish(), validate_only=True)).id == "p"
    assert await rig.store.count() == 0
    created = await rig.create(wish())
    checked = await rig.replace(wish("New name"), validate_only=True)
    assert (checked.name, checked.version) == ("New name", 2)
    assert await rig.policies.get("p") == created


async def test_there_is_an_end_to_policies_but_not_to_ours() -> None:
    rig = Rig(max_policies=1)
    await rig.create(wish("One"))
    with pytest.raises(LimitReached, match="max_policies is 1"):
        await rig.create(wish("Two"))
    await rig.policies.ship(wish("Three"))
    assert (await rig.policies.get("three")).updated_by == "chronos"


async def test_a_policy_of_ours_is_added_where_it_is_missing_and_left_where_it_is(rig: Rig) -> None:
    await rig.policies.ship(wish("Ours", id="ours", enabled=False))
    mine = await rig.policies.enable("ours", author="k1")
    await rig.policies.ship(wish("Ours", id="ours", enabled=False))
    assert await rig.policies.get("ours") == mine
    await rig.policies.delete("ours", etag="")
    await rig.policies.ship(wish("Ours", id="ours", enabled=False))
    assert not (await rig.policies.get("ours")).enabled


async def test_replacing_takes_defaults_for_what_is_left_out(rig: Rig) -> None:
    created = await rig.create(wish(priority=7, action="WARN", enabled=False))
    await rig.clock.advance(timedelta(hours=1))
    replaced = await rig.replace(wish(etag=created.etag))
    assert (replaced.priority, replaced.action, replaced.enabled) == (0, Policy.DENY, True)
    assert (replaced.version, replaced.updated_by) == (2, "k2")
    assert replaced.created_at == created.created_at
    assert replaced.updated_at != created.updated_at
    assert replaced.etag != created.etag


async def test_a_stale_etag_is_refused(rig: Rig) -> None:
    created = await rig.create(wish())
    changed = await rig.replace(wish(priority=1))
    with pytest.raises(Stale):
        await rig.replace(wish(priority=2, etag=created.etag))
    with pytest.raises(Stale):
        await rig.policies.delete("p", etag=created.etag)
    assert await rig.policies.get("p") == changed
    await rig.policies.delete("p", etag=changed.etag)


async def test_without_an_etag_a_change_in_between_is_made_good(rig: Rig) -> None:
    created = await rig.create(wish())
    rig.store.fail_once = Stale("changed")
    assert (await rig.replace(wish(priority=1))).priority == 1
    rig.store.fail_once = Stale("changed")
    with pytest.raises(Stale):
        await rig.replace(wish(etag=(await rig.policies.get("p")).etag))
    rig.store.fail_once = Stale("changed")
    await rig.policies.delete("p", etag="")
    assert created.version == 1


async def test_an_id_stays(rig: Rig) -> None:
    await rig.create(wish())
    with pytest.raises(InvalidArgument, match="cannot be changed"):
        await rig.replace(wish(id="q"))
    assert (await rig.replace(wish("Another name"))).id == "p"


async def test_enabling_and_disabling_are_idempotent(rig: Rig) -> None:
    created = await rig.create(wish())
    assert await rig.policies.enable("p", author="k1") == created
    off = await rig.policies.disable("p", author="k2")
    assert (off.enabled, off.version, off.updated_by) == (False, 2, "k2")
    assert await rig.policies.disable("p", author="k3") == off
    assert (await rig.policies.enable("p", author="k3")).version == 3


async def test_a_disabled_policy_still_says_what_it_looks_at(rig: Rig) -> None:
    await rig.create(wish(condition={"field": "load.job_runs", "operator": "lt", "value": 6}))
    await rig.policies.disable("p", author="k1")
    found = await rig.store.get("p")
    assert found is not None
    assert list(found.stored.uses) == ["load"]


async def test_a_policy_that_cannot_be_read_can_be_disabled_and_deleted_but_not_enabled(rig: Rig) -> None:
    await rig.create(wish())
    await rig.break_it()
    assert not (await rig.policies.disable("p", author="k1")).enabled
    with pytest.raises(InvalidArgument, match="sounds_like"):
        await rig.policies.enable("p", author="k1")
    await rig.policies.delete("p", etag="")


async def test_rolling_back_makes_a_new_version_of_an_old_one(rig: Rig) -> None:
    first = await rig.create(wish("First", id="p", priority=1))
    await rig.replace(wish("Second", priority=2, enabled=False))
    back = await rig.policies.rollback("p", 1, author="k3")
    assert (back.name, back.priority, back.enabled) == ("First", 1, True)
    assert (back.version, back.updated_by) == (3, "k3")
    assert back.created_at == first.created_at
    assert [found.version for found in await rig.policies.versions("p")] == [3, 2, 1]
    with pytest.raises(NotFound, match="there is 1 to 3"):
        await rig.policies.rollback("p", 9, author="k3")


async def test_rolling_back_takes_no_name_from_another(rig: Rig) -> None:
    await rig.create(wish("First", id="p"))
    await rig.replace(wish("Second"))
    await rig.create(wish("First", id="q"))
    with pytest.raises(AlreadyExists):
        await rig.policies.rollback("p", 1, author="k3")


async def test_what_is_not_there_is_not_found(rig: Rig) -> None:
    for call in (
        rig.policies.get("p"),
        rig.replace(wish()),
        rig.policies.enable("p", author=""),
        rig.policies.disable("p", author=""),
        rig.policies.versions("p"),
        rig.policies.rollback("p", 1, author=""),
        rig.policies.delete("p", etag=""),
    ):
        with pytest.raises(NotFound, match='no policy "p"'):
            await call


async def test_lists_come_in_pages(rig: Rig) -> None:
    for name in "cab":
        await rig.create(wish(name))
    first, token = await rig.policies.list(size=2, token="")
    second, end = await rig.policies.list(size=2, token=token)
    assert [policy.id for policy in (*first, *second)] == ["a", "b", "c"]
    assert end == ""
    assert first[0] == await rig.policies.get("a")


async def test_a_page_ends_before_it_is_too_large_for_an_answer(rig: Rig) -> None:
    names = [f"p{number:02d}" for number in range(20)]
    for name in names:
        policy = wish(name)
        policy.rules[0].message = "x" * 500_000
        await rig.create(policy)
    found, token = [], ""
    while True:
        page, token = await rig.policies.list(size=1000, token=token)
        assert 0 < sum(policy.ByteSize() for policy in page) <= MOST_ANSWERED_BYTES
        found += [policy.id for policy in page]
        if not token:
            break
    assert found == names


async def test_no_more_versions_are_listed_than_are_kept(rig: Rig) -> None:
    await rig.create(wish())
    for number in range(VERSIONS_KEPT):
        await rig.replace(wish(priority=number))
    versions = await rig.policies.versions("p")
    assert [policy.version for policy in versions] == list(range(VERSIONS_KEPT + 1, 1, -1))
