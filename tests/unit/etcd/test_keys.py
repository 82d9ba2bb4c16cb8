import pytest

from libs.etcd import keys


def test_shard_keys_can_be_read_back() -> None:
    assert keys.shard_of_owner(keys.shard_owner(7)) == 7
    assert keys.shard_of_watermark(keys.shard_watermark(12)) == 12


@pytest.mark.parametrize(
    "key", [keys.META, keys.shard_watermark(7), keys.SHARDS + b"x/owner", keys.SHARDS + b"07/owner", keys.SHARDS, b""]
)
def test_other_keys_are_no_owner_keys(key: bytes) -> None:
    assert keys.shard_of_owner(key) is None


def test_prefixes_hold_their_own_keys_only() -> None:
    assert keys.job(6, "default", "a").startswith(keys.jobs_of_shard(6))
    assert not keys.job(60, "default", "a").startswith(keys.jobs_of_shard(6))
    assert not keys.job_index("default2", "a").startswith(keys.job_index_of("default"))
    assert not keys.trigger(11, "x").startswith(keys.triggers_of_shard(1))
    assert not keys.member("history-2", "x").startswith(keys.members_of("history"))


def test_versions_sort_by_number() -> None:
    names = [keys.version("default", "a", number) for number in (2, 10, 100)]
    assert names == sorted(names)


def test_the_last_part_is_the_name() -> None:
    assert keys.last_part(keys.member("history", "history-0-x")) == "history-0-x"
