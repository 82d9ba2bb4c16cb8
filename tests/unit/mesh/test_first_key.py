import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.chronos.cluster import shard_count
from cli.chronos.errors import MISUSED, MeshError
from cli.chronos.first_key import check_given, ensure_first_key
from cli.chronos.keys import split_namespaces, split_permissions
from cli.chronos.mesh_token import mesh_token
from cli.chronos.topology import MeshOptions, parse_override
from libs.etcd.api_keys import delete_key, list_keys
from libs.rpc.credentials import is_secret_of, new_key, parse_key
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd

NONE_GIVEN = SecretStr("")


async def test_a_cluster_without_keys_gets_one_that_may_do_everything(tmp_path: Path) -> None:
    etcd, clock = FakeEtcd(), FakeClock()
    first = await ensure_first_key(etcd, tmp_path, NONE_GIVEN, clock)
    text = parse_key(first.fresh)
    [stored] = await list_keys(etcd)
    assert text is not None
    assert is_secret_of(stored, text.secret)
    assert (list(stored.permissions), list(stored.namespaces)) == (["*"], ["*"])
    path = tmp_path / "admin.key"
    assert path.read_text().strip() == first.fresh
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_stored_key_does_not_hold_the_secret(tmp_path: Path) -> None:
    etcd = FakeEtcd()
    first = await ensure_first_key(etcd, tmp_path, NONE_GIVEN, FakeClock())
    [stored] = await list_keys(etcd)
    text = parse_key(first.fresh)
    assert text is not None
    assert text.secret.encode() not in stored.SerializeToString()


async def test_a_cluster_with_keys_gets_no_other_one(tmp_path: Path) -> None:
    etcd, clock = FakeEtcd(), FakeClock()
    first = await ensure_first_key(etcd, tmp_path, NONE_GIVEN, clock)
    again = await ensure_first_key(etcd, tmp_path, NONE_GIVEN, clock)
    assert again.fresh == ""
    assert (tmp_path / "admin.key").read_text().strip() == first.fresh
    assert len(await list_keys(etcd)) == 1


async def test_who_lost_the_first_key_is_told_how_to_make_another(tmp_path: Path) -> None:
    etcd, clock = FakeEtcd(), FakeClock()
    await ensure_first_key(etcd, tmp_path, NONE_GIVEN, clock)
    (tmp_path / "admin.key").unlink()
    assert "chronos key create" in (await ensure_first_key(etcd, tmp_path, NONE_GIVEN, clock)).where


async def test_a_given_key_takes_the_place_of_a_made_one_and_is_not_written_down(tmp_path: Path) -> None:
    etcd, clock = FakeEtcd(), FakeClock()
    text, key = new_key("mine", ["*"], ["*"], clock)
    for _ in range(2):
        found = await ensure_first_key(etcd, tmp_path, SecretStr(text), clock)
        assert found.fresh == ""
    assert [stored.id for stored in await list_keys(etcd)] == [key.id]
    assert not (tmp_path / "admin.key").exists()


async def test_a_given_key_comes_back_after_it_was_revoked(tmp_path: Path) -> None:
    etcd, clock = FakeEtcd(), FakeClock()
    text, key = new_key("mine", ["*"], ["*"], clock)
    await ensure_first_key(etcd, tmp_path, SecretStr(text), clock)
    await delete_key(etcd, key.id)
    await ensure_first_key(etcd, tmp_path, SecretStr(text), clock)
    assert len(await list_keys(etcd)) == 1


def test_a_given_text_that_is_no_key_is_refused_without_being_shown() -> None:
    with pytest.raises(MeshError, match="CHRONOS_ADMIN_KEY is not an API key") as error:
        check_given(SecretStr("hunter2"))
    assert error.value.exit_code == MISUSED
    assert "hunter2" not in error.value.message
    check_given(NONE_GIVEN)


def test_the_mesh_token_stays_the_same_and_is_the_owner_s_alone(tmp_path: Path) -> None:
    token = mesh_token(tmp_path, "")
    assert len(token) >= 43
    assert mesh_token(tmp_path, "") == token
    assert stat.S_IMODE((tmp_path / "mesh.token").stat().st_mode) == 0o600
    assert mesh_token(tmp_path, "given") == "given"


@pytest.mark.parametrize("text", ["job", "job:", "Job:read", "", "job:read execution:read", "*:*"])
def test_permissions_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(MeshError, match="--permissions"):
        split_permissions(text)


@pytest.mark.parametrize("text", ["Team", "a_b", "", "-a"])
def test_namespaces_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(MeshError, match="--namespaces"):
        split_namespaces(text)


def test_permissions_and_namespaces_are_read() -> None:
    assert split_permissions("job:read, execution:*,*") == ["job:read", "execution:*", "*"]
    assert split_namespaces("default,team-a") == ["default", "team-a"]


def test_a_number_of_shards_given_by_hand_holds_for_a_new_cluster(tmp_path: Path) -> None:
    assert shard_count(MeshOptions(data_dir=tmp_path)) == 64
    overrides = (parse_override("scheduler.shard_count=8"),)
    assert shard_count(MeshOptions(data_dir=tmp_path, overrides=overrides)) == 8
