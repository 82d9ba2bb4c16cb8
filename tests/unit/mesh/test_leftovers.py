from pathlib import Path

import pytest

from cli.chronos.errors import MISUSED, MeshError
from cli.chronos.leftovers import check_etcd_layout
from cli.chronos.topology import MeshOptions


def test_the_number_of_etcd_members_stays_what_it_was(tmp_path: Path) -> None:
    check_etcd_layout(MeshOptions(data_dir=tmp_path, etcd_members=1))
    with pytest.raises(MeshError, match=r"holds 1 etcd member.*--etcd 1") as error:
        check_etcd_layout(MeshOptions(data_dir=tmp_path, etcd_members=3))
    assert error.value.exit_code == MISUSED


def test_a_single_etcd_member_may_move_to_other_ports(tmp_path: Path) -> None:
    for base in (8080, 9080):
        check_etcd_layout(MeshOptions(data_dir=tmp_path, port_base=base))


def test_several_etcd_members_keep_their_ports(tmp_path: Path) -> None:
    check_etcd_layout(MeshOptions(data_dir=tmp_path, etcd_members=3, port_base=8080))
    check_etcd_layout(MeshOptions(data_dir=tmp_path, etcd_members=3, port_base=8080))
    with pytest.raises(MeshError, match="--port-base 8080"):
        check_etcd_layout(MeshOptions(data_dir=tmp_path, etcd_members=3, port_base=9080))
