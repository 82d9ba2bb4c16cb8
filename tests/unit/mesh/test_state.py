import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from cli.chronos.errors import FAILED, NO_MESH, MeshError
from cli.chronos.journal import Journal
from cli.chronos.processes import is_running, start_mark
from cli.chronos.state import (
    MeshState,
    Phase,
    Probe,
    ProbeKind,
    ProcessState,
    claimed,
    load,
    load_running,
    save,
    state_path,
    write_whole,
)

PROCESS = ProcessState(
    name="scheduler",
    replica="scheduler-0",
    pid=123,
    mark="77",
    ports={"grpc": 8180},
    restarts=2,
    started_at="2026-01-01T00:00:00.000+00:00",
    probe=Probe(kind=ProbeKind.GRPC, address="127.0.0.1:8180"),
)
STATE = MeshState(
    phase=Phase.RUNNING,
    supervisor_pid=os.getpid(),
    supervisor_mark=start_mark(os.getpid()),
    started_at="2026-01-01T00:00:00.000+00:00",
    port_base=8080,
    edge_url="http://127.0.0.1:8080",
    etcd_endpoints=("127.0.0.1:8090",),
    processes=(PROCESS,),
)


def test_what_is_saved_loads_as_it_was(tmp_path: Path) -> None:
    save(tmp_path, STATE)
    assert load(tmp_path) == STATE


def test_where_nothing_was_saved_there_is_no_mesh(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    with pytest.raises(MeshError, match="no mesh runs") as error:
        load_running(tmp_path)
    assert error.value.exit_code == NO_MESH


def test_the_state_of_a_dead_supervisor_is_no_running_mesh(tmp_path: Path) -> None:
    save(tmp_path, replace(STATE, supervisor_mark="another start"))
    with pytest.raises(MeshError, match="no mesh runs"):
        load_running(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"processes": []}', '{"processes": [{}]}'])
def test_a_file_that_is_no_state_is_told(tmp_path: Path, text: str) -> None:
    state_path(tmp_path).write_text(text)
    with pytest.raises(MeshError, match="is not the state of a mesh"):
        load(tmp_path)


def test_a_file_is_replaced_whole_and_readable_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    write_whole(path, "old", mode=0o600)
    write_whole(path, "new", mode=0o600)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["admin.key"]


def test_a_second_claim_on_a_folder_says_who_holds_it(tmp_path: Path) -> None:
    save(tmp_path, STATE)
    with claimed(tmp_path):
        with pytest.raises(MeshError, match=rf"already runs in .*process {os.getpid()}") as error, claimed(tmp_path):
            pass
        assert error.value.exit_code == FAILED
    with claimed(tmp_path):
        pass


def test_the_journal_keeps_the_latest_of_each_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path, replace(STATE, processes=()), lambda _: None)
    journal.note(PROCESS)
    journal.note(replace(PROCESS, replica="scheduler-1"))
    journal.note(replace(PROCESS, pid=None))
    journal.enter(Phase.STOPPING)
    found = load(tmp_path)
    assert found is not None
    assert found.phase is Phase.STOPPING
    assert [(process.replica, process.pid) for process in found.processes] == [
        ("scheduler-0", None),
        ("scheduler-1", 123),
    ]
    journal.forget()
    assert load(tmp_path) is None


def test_a_journal_that_cannot_be_written_is_told_once_and_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    journal = Journal(tmp_path / "gone", STATE, told.append)
    journal.note(PROCESS)
    journal.note(PROCESS)
    assert len(told) == 1
    (tmp_path / "gone").mkdir()
    journal.note(PROCESS)
    assert json.loads(state_path(tmp_path / "gone").read_text())["processes"][0]["replica"] == "scheduler-0"


def test_a_process_is_told_from_a_later_one_with_its_pid() -> None:
    mark = start_mark(os.getpid())
    assert is_running(os.getpid(), mark)
    assert not is_running(os.getpid(), "another start")
    assert not is_running(None, None)


def test_a_process_that_ended_and_was_not_waited_for_does_not_run() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert start_mark(pid) is None
    os.waitpid(pid, 0)
    assert start_mark(pid) is None
