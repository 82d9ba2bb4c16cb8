"""`chronos up` and the commands around it, from the outside."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cli.chronos.etcd_binary import find
from cli.chronos.processes import start_mark
from libs.clock import SystemClock
from libs.rpc.credentials import new_key
from tests.e2e.mesh import ROOT, RunningMesh, eventually, free_base, is_free, plain_environment, ran, running_mesh

pytestmark = pytest.mark.mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """A `chronos up` that may not be up yet."""

    process: "subprocess.Popen[bytes]"
    data_dir: Path
    base: int
    output: Path

    def pids(self) -> list[int]:
        """Its children, as far as they are written down."""
        path = self.data_dir / "mesh.json"
        processes = json.loads(path.read_text())["processes"] if path.exists() else []
        return [process["pid"] for process in processes if process["pid"]]

    def is_up(self) -> bool:
        """Whether it said so."""
        return "Chronos is up" in self.output.read_text()

    def leaves_nothing(self, pids: list[int]) -> bool:
        """Whether no child and no port of it is left."""
        ports = [self.base + offset for offset in (0, 1, 10, 11, 100, 101, 200, 201, 300, 301, 400, 401, 402)]
        return not any(start_mark(pid) for pid in pids) and all(is_free(port) for port in ports)


@contextmanager
def starting(data_dir: Path, *flags: str, base: int = 0, **environment: str) -> Iterator[Starting]:
    """Begins to start a mesh."""
    base = base or free_base()
    output = data_dir.with_suffix(".out")
    command = [sys.executable, "-m", "cli.chronos", "up", "--data-dir", str(data_dir), "--port-base", str(base), *flags]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**plain_environment(), **environment}, stdout=file, stderr=file
        )
    try:
        yield Starting(process=process, data_dir=data_dir, base=base, output=output)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def test_every_process_is_listed_with_its_ports_and_health(mesh: RunningMesh) -> None:
    status = json.loads(mesh.chronos("status", "--json").stdout)
    assert status["is_healthy"] is True
    assert status["edge"] == mesh.edge
    assert {process["name"] for process in status["processes"]} == {
        "etcd", "history", "policy", "dispatcher", "scheduler", "gateway", "envoy",
    }  # fmt: skip
    for process in status["processes"]:
        assert process["health"] == "healthy", process
        assert start_mark(process["pid"])
        assert not any(is_free(port) for port in process["ports"].values())
    assert "scheduler-1" in mesh.chronos("status").stdout


def test_secrets_are_readable_by_their_owner_alone(mesh: RunningMesh) -> None:
    for name in ("admin.key", "mesh.token"):
        assert stat.S_IMODE((mesh.data_dir / name).stat().st_mode) == 0o600


def test_a_second_mesh_in_the_same_folder_is_refused(mesh: RunningMesh) -> None:
    refused = mesh.chronos("up", "--port-base", str(free_base()), may_fail=True)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: a mesh already runs in")


def test_a_second_mesh_on_the_same_ports_is_refused(mesh: RunningMesh, tmp_path: Path) -> None:
    base = mesh.address.rpartition(":")[2]
    refused = ran("chronos", "up", "--data-dir", str(tmp_path / "other"), "--port-base", base, may_fail=True)
    assert refused.returncode == 1
    assert f"ports are in use: {base} (envoy-0, edge)" in refused.stderr


def test_logs_are_shown(mesh: RunningMesh) -> None:
    lines = mesh.chronos("logs", "scheduler", "-n", "1").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["scheduler-0", "scheduler-1"]


def test_a_key_works_until_it_is_revoked(mesh: RunningMesh) -> None:
    text = mesh.chronos("key", "create", "--name", "reader", "--permissions", "job:read").stdout.strip()
    key_id = text.split("_")[1]
    with mesh.http(text) as reader:
        eventually(lambda: reader.get("/api/v1/jobs").status_code == 200)
        assert reader.post("/api/v1/jobs/none/trigger", json={}).status_code == 403
        listed = mesh.chronos("key", "list").stdout
        assert f"{key_id}  reader  job:read  default" in listed
        assert text not in listed
        mesh.chronos("key", "revoke", key_id)
        eventually(lambda: reader.get("/api/v1/jobs").status_code == 401)
    assert mesh.chronos("key", "revoke", key_id, may_fail=True).returncode == 1


def test_a_mesh_stops_without_a_trace_and_comes_back_as_it_was(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    job = {"name": "kept", "schedule": "@yearly", "webhook": {"url": "http://127.0.0.1:1/"}}
    with running_mesh(data_dir) as first, first.http() as api:
        assert api.post("/api/v1/jobs", json=job).status_code == 200
        pids = [process["pid"] for process in first.processes().values()]
        assert first.chronos("down").stdout == "Stopped.\n"
        assert first.process.wait(10) == 0
        assert not any(start_mark(pid) for pid in pids)
        assert first.chronos("status", may_fail=True).returncode == 3
    with running_mesh(data_dir) as again, again.http() as api:
        assert again.api_key == first.api_key
        assert api.get("/api/v1/jobs/kept").json()["name"] == "kept"


def test_a_mesh_of_three_etcd_members_lives_with_two(tmp_path: Path) -> None:
    with running_mesh(tmp_path / "data", "--etcd", "3") as mesh, mesh.http() as api:
        killed = mesh.kill("etcd-1")
        assert eventually(lambda: api.get("/api/v1/jobs").status_code == 200)
        eventually(lambda: mesh.processes()["etcd-1"]["pid"] not in (None, killed), what=mesh.processes)
        eventually(lambda: mesh.chronos("status", may_fail=True).returncode == 0, what=mesh.processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("children", [0, 1, 5])
def test_a_mesh_that_is_stopped_while_it_starts_leaves_nothing(
    tmp_path: Path, number: signal.Signals, children: int
) -> None:
    with starting(tmp_path / "data") as mesh:
        eventually(lambda: mesh.data_dir.exists() and len(mesh.pids()) >= children)
        pids = mesh.pids()
        mesh.process.send_signal(number)
        assert mesh.process.wait(30) in (0, -number, 130), mesh.output.read_text()
        assert mesh.leaves_nothing(pids), mesh.output.read_text()
        assert "Traceback" not in mesh.output.read_text()


def test_a_mesh_whose_supervisor_is_killed_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    with starting(tmp_path / "data") as mesh:
        eventually(mesh.is_up, within=60, what=mesh.output.read_text)
        pids = mesh.pids()
        mesh.process.kill()
        mesh.process.wait()
        eventually(lambda: mesh.leaves_nothing(pids))
    with starting(tmp_path / "data", base=mesh.base) as again:
        eventually(again.is_up, within=60, what=again.output.read_text)


def test_a_service_that_refuses_its_settings_is_told_with_its_words(tmp_path: Path) -> None:
    base = str(free_base())
    flags = ("--data-dir", str(tmp_path / "data"), "--port-base", base, "--set", "history.retention=soon")
    refused = ran("chronos", "up", *flags, may_fail=True)
    assert refused.returncode == 1
    assert "history-0 does not come up" in refused.stderr
    assert "retention" in refused.stderr


def test_a_key_from_the_environment_takes_the_place_of_a_made_one(tmp_path: Path) -> None:
    text, _ = new_key("admin", ["*"], ["*"], SystemClock())
    with starting(tmp_path / "data", CHRONOS_ADMIN_KEY=text) as mesh:
        eventually(mesh.is_up, within=60, what=mesh.output.read_text)
        assert text not in mesh.output.read_text()
        assert not (mesh.data_dir / "admin.key").exists()
        url = f"http://127.0.0.1:{mesh.base}/api/v1/jobs"
        assert httpx.get(url, headers={"X-API-Key": text}, trust_env=False).status_code == 200


def test_a_mesh_waits_for_an_etcd_that_is_away(tmp_path: Path) -> None:
    elsewhere = free_base() + 10
    with starting(tmp_path / "data", "--etcd-endpoints", f"127.0.0.1:{elsewhere}") as mesh:
        waits = f"etcd does not answer at 127.0.0.1:{elsewhere}; waiting for it"
        eventually(lambda: waits in mesh.output.read_text(), what=mesh.output.read_text)
        with etcd_at(elsewhere, tmp_path):
            eventually(mesh.is_up, within=60, what=mesh.output.read_text)
            assert "etcd" not in {process["name"] for process in status_of(mesh.data_dir)["processes"]}
            mesh.process.terminate()
            mesh.process.wait(30)
    assert "Traceback" not in "".join(log.read_text() for log in (mesh.data_dir / "logs").iterdir())


def status_of(data_dir: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(
        ran("chronos", "status", "--json", "--data-dir", str(data_dir), may_fail=True).stdout
    )
    return found


@contextmanager
def etcd_at(port: int, folder: Path) -> Iterator[None]:
    """A single etcd of the test's own."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
    flags = {
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "logger": "zap",
        "log-level": "error",
    }
    command = [find(os.environ["PATH"]).path, *(f"--{name}={value}" for name, value in flags.items())]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
