"""chronosctl against a real mesh, with the examples."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Fresh
from tests.e2e.mesh import ROOT, RunningMesh, eventually
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_can_be_created(mesh: RunningMesh, fresh: Fresh, path: Path) -> None:
    space = fresh("example")
    printed = mesh.ctl("job", "create", "-f", str(path), "--namespace", space).stdout
    listed = json.loads(mesh.ctl("job", "list", "--namespace", space, "-o", "json").stdout)["jobs"]
    assert printed.count("Created ") == len(listed) > 0
    for job in listed:
        mesh.ctl("job", "delete", job["id"], "--namespace", space)


def test_a_job_lives_its_whole_life(mesh: RunningMesh, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("life")
    flags = ("--id", name, "--name", "Life", "--schedule", "@yearly", "--url", receiver.url("/life"))
    assert mesh.ctl("job", "create", *flags, "--tag", f"run={name}").stdout == f"Created {name}.\n"
    assert name in mesh.ctl("job", "list", "--enabled", "--tag", f"run={name}").stdout
    assert "@hourly" in mesh.ctl("job", "update", name, "--schedule", "@hourly", "--set", "tags.more=x").stdout
    job = yaml.safe_load(mesh.ctl("job", "get", name, "-o", "yaml").stdout)
    assert job["tags"] == {"run": name, "more": "x"}
    replaced = mesh.ctl("job", "replace", "-f", "-", "-o", "json", stdin=yaml.safe_dump({**job, "description": "new"}))
    assert json.loads(replaced.stdout)["description"] == "new"
    assert "no" in mesh.ctl("job", "disable", name).stdout
    execution = json.loads(mesh.ctl("job", "trigger", name, "--wait", "-o", "json").stdout)
    assert execution["status"] == "SUCCESS"
    assert len(receiver.of_execution(execution["id"])) == 1
    mesh.ctl("job", "enable", name)
    assert execution["id"] in mesh.ctl("execution", "list", name, "--status", "success").stdout
    assert "ATTEMPT" in mesh.ctl("execution", "get", name, execution["id"]).stdout
    assert mesh.ctl("job", "delete", name).stdout == f"Deleted {name}.\n"
    gone = mesh.ctl("job", "get", name, may_fail=True)
    assert gone.returncode == 1
    assert "job list" in gone.stderr


def test_a_stale_file_is_refused_with_advice(mesh: RunningMesh, fresh: Fresh) -> None:
    name = fresh("stale-file")
    mesh.ctl("job", "create", "--id", name, "--name", "x", "--schedule", "@daily", "--url", "http://127.0.0.1:9/")
    job = mesh.ctl("job", "get", name, "-o", "yaml").stdout
    mesh.ctl("job", "update", name, "--schedule", "@hourly")
    refused = mesh.ctl("job", "replace", "-f", "-", stdin=job, may_fail=True)
    assert refused.returncode == 1
    assert "get it again" in refused.stderr


def test_several_jobs_with_one_wrong_are_told_one_by_one(mesh: RunningMesh, fresh: Fresh) -> None:
    name = fresh("several")
    good = {"id": name, "name": "good", "schedule": "@daily", "webhook": {"url": "http://127.0.0.1:9/"}}
    bad = {**good, "id": f"{name}-bad", "schedule": "0 25 * * *"}
    ran = mesh.ctl("job", "create", "-f", "-", stdin=yaml.safe_dump_all([bad, good]), may_fail=True)
    assert (ran.returncode, ran.stdout) == (1, f"Created {name}.\n")
    assert "schedule:" in ran.stderr


def test_a_watch_shows_executions_as_they_happen(mesh: RunningMesh, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("watch")
    url = receiver.url("/watch")
    mesh.ctl("job", "create", "--id", name, "--name", "w", "--schedule", "* * * * * *", "--url", url)
    printed = mesh.ctl("execution", "watch", name, "--limit", "2", "-o", "json").stdout
    assert [json.loads(line)["job_id"] for line in printed.splitlines()] == [name, name]
    mesh.ctl("job", "delete", name)


def test_the_cluster_is_shown(mesh: RunningMesh) -> None:
    shown: subprocess.CompletedProcess[str] = eventually(
        lambda: (ran := mesh.ctl("cluster", "status", "--shards", may_fail=True)).returncode == 0 and ran,  # type: ignore[return-value,arg-type]
        within=40,
    )
    assert "scheduler-1" in shown.stdout
    assert "WATERMARK" in shown.stdout


def test_the_grpc_example_runs(mesh: RunningMesh) -> None:
    import sys

    ran = subprocess.run(
        [sys.executable, "examples/grpc_client.py", "--server", mesh.address, "--url", "http://127.0.0.1:9/"],
        cwd=ROOT,
        env={"CHRONOS_API_KEY": mesh.api_key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "grpc-example" in ran.stdout
