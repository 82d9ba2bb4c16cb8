import stat
from pathlib import Path

import pytest

from cli.chronos.encryption_key import encryption_keys
from cli.chronos.settings import environment_of_children
from cli.chronos.topology import MeshOptions, service_specs
from services.scheduler.domain.sealing_keys import parse_key


def test_a_key_is_made_once_and_is_the_owner_s_alone(tmp_path: Path) -> None:
    options = MeshOptions(data_dir=tmp_path)
    key = encryption_keys(options, "")
    assert len(parse_key(key)) == 32
    assert encryption_keys(options, "") == key
    assert stat.S_IMODE((tmp_path / "encryption.key").stat().st_mode) == 0o600


def test_a_given_key_is_not_written_down(tmp_path: Path) -> None:
    assert encryption_keys(MeshOptions(data_dir=tmp_path), "given") == "given"
    assert list(tmp_path.iterdir()) == []


def test_none_is_made_for_an_etcd_that_others_may_use_too(tmp_path: Path) -> None:
    assert encryption_keys(MeshOptions(data_dir=tmp_path, etcd_endpoints=("10.0.0.1:2379",)), "") == ""
    assert list(tmp_path.iterdir()) == []


def test_only_schedulers_get_the_key(tmp_path: Path) -> None:
    options = MeshOptions(data_dir=tmp_path, replicas={"scheduler": 2})
    specs = service_specs(options, python="p", mesh_token="t", encryption_keys="k")
    with_key = {spec.replica for spec in specs if spec.env.get("CHRONOS_ENCRYPTION_KEYS") == "k"}
    assert with_key == {"scheduler-0", "scheduler-1"}
    assert all("CHRONOS_ENCRYPTION_KEYS" not in spec.env for spec in specs if spec.name != "scheduler")


def test_variables_that_jobs_may_refer_to_are_handed_on_and_keys_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOS_SECRET_STRIPE", "s")
    monkeypatch.setenv("CHRONOS_ENCRYPTION_KEYS", "k")
    children = environment_of_children()
    assert children["CHRONOS_SECRET_STRIPE"] == "s"
    assert "CHRONOS_ENCRYPTION_KEYS" not in children
