from collections import Counter

import pytest
from chronos.cluster.v1.cluster_pb2 import Member
from hypothesis import given
from hypothesis import strategies as st

from libs.etcd.rendezvous import owner_of, shards_of

NAMES = st.sets(st.from_regex(r"scheduler-[0-9]{1,3}", fullmatch=True), min_size=1, max_size=12)


def member(replica: str, *, instance: str = "", started_at: int = 0) -> Member:
    result = Member(service="scheduler", replica=replica, instance=instance or f"{replica}-x")
    result.started_at.seconds = started_at
    return result


@given(NAMES, st.integers(0, 1000))
def test_all_agree_whatever_the_order(names: set[str], shard: int) -> None:
    assert owner_of(shard, sorted(names)) == owner_of(shard, sorted(names, reverse=True))


@given(NAMES, st.integers(0, 1000))
def test_only_the_shards_of_who_leaves_move(names: set[str], shard: int) -> None:
    owner = owner_of(shard, names)
    for gone in names - {owner}:
        assert owner_of(shard, names - {gone}) == owner


@given(NAMES)
def test_members_share_all_shards_without_overlap(names: set[str]) -> None:
    members = [member(name) for name in names]
    parts = [shards_of(each.instance, members, 64) for each in members]
    assert sorted(shard for part in parts for shard in part) == list(range(64))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_shards_are_spread_fairly(count: int) -> None:
    names = [f"scheduler-{i}" for i in range(count)]
    shares = Counter(owner_of(shard, names) for shard in range(6_400))
    for name in names:
        assert 0.9 < shares[name] / (6_400 / count) < 1.1


def test_nobody_owns_anything_without_members() -> None:
    assert owner_of(1, []) is None
    assert shards_of("x", [], 64) == frozenset()


def test_who_is_no_member_owns_nothing() -> None:
    assert shards_of("other", [member("scheduler-0")], 64) == frozenset()


def test_a_restarted_replica_owns_what_it_did() -> None:
    peers = [member("scheduler-1"), member("scheduler-2")]
    before = shards_of("old", [*peers, member("scheduler-0", instance="old")], 64)
    after = shards_of("new", [*peers, member("scheduler-0", instance="new")], 64)
    assert before == after


def test_of_two_processes_of_a_replica_the_later_counts() -> None:
    members = [
        member("scheduler-0", instance="old", started_at=1),
        member("scheduler-0", instance="new", started_at=2),
    ]
    assert shards_of("new", members, 64) == frozenset(range(64))
    assert shards_of("old", members, 64) == frozenset()
