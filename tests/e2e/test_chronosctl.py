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
def test_every_example_does_what_it_says(mesh: RunningMesh, fresh: Fresh, path: Path) -> None:
    is_applied, has_own_namespace = "chronosctl apply" in path.read_text(), "namespaces:" in path.read_text()
    space = "reporting" if has_own_namespace else fresh("example")
    scope = () if has_own_namespace else ("--namespace", space)
    printed = mesh.ctl(*(("apply",) if is_applied else ("job", "create")), "-f", str(path), *scope).stdout
    listed = json.loads(mesh.ctl("job", "list", "--namespace", space, "-o", "json").stdout)["jobs"]
    made = [line for line in printed.splitlines() if line.startswith("Created ") and "calendar" not in line]
    assert len(made) - has_own_namespace == len(listed) > 0
    if is_applied:
        again = mesh.ctl("apply", "-f", str(path), *scope).stdout
        assert again == printed.replace("Created", "Replaced")
    for job in reversed(listed):  # dependants have later names here, and go first
        mesh.ctl("job", "delete", job["id"], "--namespace", space)
    if has_own_namespace:
        mesh.ctl("namespace", "delete", space)


def test_an_icalendar_file_becomes_a_calendar_that_moves_runs(mesh: RunningMesh, fresh: Fresh) -> None:
    space = fresh("holidays")
    imported = mesh.ctl("calendar", "import", str(ROOT / "examples" / "holidays.ics"), "--namespace", space).stdout
    assert "Public holidays" in imported
    shown = mesh.ctl(
        *("schedule", "validate", "0 9 1 1 *", "--exclude-calendar", "holidays", "--roll", "next-business-day"),
        *("--namespace", space, "--from", "2026-12-01", "-n", "1"),
    ).stdout
    assert "2027-01-02T09:00:00+00:00" in shown
    assert "moved from 2027-01-01 09:00 by calendar holidays" in shown
    mesh.ctl("calendar", "delete", "holidays", "--namespace", space)


def test_a_schedule_is_checked_with_a_caret_under_what_is_wrong(mesh: RunningMesh) -> None:
    right = mesh.ctl("schedule", "validate", "30 9 * * MON-FRI", "--timezone", "Europe/Berlin", "-n", "2").stdout
    assert right.startswith("Valid. At 09:30, Monday to Friday, Europe/Berlin time")
    wrong = mesh.ctl("schedule", "validate", "0 25 * * *", may_fail=True)
    assert wrong.returncode == 1
    assert "\n  0 25 * * *\n    ^^\n" in wrong.stdout


def test_what_is_to_come_is_shown(mesh: RunningMesh, fresh: Fresh) -> None:
    space, name = fresh("ahead"), "ahead"
    flags = ("--id", name, "--name", "a", "--schedule", "0 9 * * *", "--url", "http://127.0.0.1:9/")
    mesh.ctl("job", "create", *flags, "--exclude-calendar", "weekends", "--namespace", space)
    shown = mesh.ctl("job", "next-runs", name, "-n", "2", "--from", "2026-11-27T10:00:00Z", "--namespace", space).stdout
    assert shown.count("does not run") == 2
    assert "2026-12-01 09:00:00Z" in shown
    day = ("--from", "2026-11-30", "--to", "2026-12-01", "--step", "1d")
    assert "1 run of 1 job\n" in mesh.ctl("forecast", *day, "--namespace", space).stdout
    mesh.ctl("job", "delete", name, "--namespace", space)


def test_a_job_is_made_up_for_explained_repeated_and_brought_back(
    mesh: RunningMesh, fresh: Fresh, receiver: Receiver
) -> None:
    name, url = fresh("rounds"), receiver.url("/rounds")
    mesh.ctl("job", "create", "--id", name, "--name", "r", "--schedule", "0 1 * * *", "--url", url)
    past = ("--from", "2026-11-01", "--to", "2026-11-03")
    runs = json.loads(mesh.ctl("job", "backfill", name, *past, "-o", "json").stdout)["executions"]
    eventually(lambda: mesh.ctl("execution", "list", name, "--status", "success").stdout.count(name) == 2)
    assert "2 had succeeded" in mesh.ctl("job", "backfill", name, *past, "--dry-run").stderr
    replayed = mesh.ctl("execution", "replay", runs[0]["id"], "--body", "other", "--wait", "-o", "json").stdout
    assert json.loads(replayed)["replay_of"] == runs[0]["id"]
    assert [one.body for one in receiver.of_execution(json.loads(replayed)["id"])] == ["other"]
    assert "NOT_THERE" in mesh.ctl("job", "explain", name, "--at", "2026-10-01T01:00:00Z").stdout
    mesh.ctl("job", "update", name, "--schedule", "0 2 * * *", "--comment", "later")
    assert "later" in mesh.ctl("job", "versions", name).stdout
    assert '"0 2 * * *"' in mesh.ctl("job", "diff", name, "2").stdout
    assert "version 3, after 2" in mesh.ctl("job", "rollback", name, "1").stdout
    assert "0 1 * * *" in mesh.ctl("job", "get", name).stdout
    mesh.ctl("job", "delete", name)


def test_a_run_is_skipped_on_overlap_and_cancelled(mesh: RunningMesh, fresh: Fresh, receiver: Receiver) -> None:
    name, url = fresh("overlap"), receiver.url("/slow/30")
    flags = ("--schedule", "@manual", "--url", url, "--timeout", "60s", "--attempts", "1")
    mesh.ctl("job", "create", "--id", name, "--name", "o", *flags)
    first = json.loads(mesh.ctl("job", "trigger", name, "-o", "json").stdout)["id"]
    eventually(lambda: receiver.of_execution(first))
    second = mesh.ctl("job", "trigger", name, "--wait", may_fail=True)
    assert second.returncode == 1
    assert "ended as SKIPPED: OVERLAP" in second.stderr
    mesh.ctl("execution", "cancel", name, first, "--reason", "enough")
    eventually(lambda: "CANCELLED_BY_USER: cancelled by" in mesh.ctl("execution", "get", first).stdout)
    mesh.ctl("job", "delete", name)


def test_jobs_run_one_after_the_other(mesh: RunningMesh, fresh: Fresh, receiver: Receiver) -> None:
    parent, child, url = fresh("parent"), fresh("child"), receiver.url("/chain")
    mesh.ctl("job", "create", "--id", parent, "--name", "p", "--schedule", "@manual", "--url", url)
    mesh.ctl("job", "create", "--id", child, "--name", "c", "--depends-on", parent, "--url", url)
    assert f"after {parent}" in mesh.ctl("job", "get", child).stdout
    first = json.loads(mesh.ctl("job", "trigger", parent, "--wait", "-o", "json").stdout)["id"]
    eventually(lambda: receiver.of_job(child))
    found = eventually(lambda: json.loads(mesh.ctl("execution", "list", child, "-o", "json").stdout)["executions"])
    assert (found[0]["cause"], found[0]["parent_execution_ids"]) == ("DEPENDENCY", [first])
    refused = mesh.ctl("job", "delete", parent, may_fail=True)
    assert child in refused.stderr
    mesh.ctl("job", "delete", child)
    mesh.ctl("job", "delete", parent)


def test_a_namespace_holds_its_limits(mesh: RunningMesh, fresh: Fresh) -> None:
    space = fresh("small")
    assert "unlimited" in mesh.ctl("namespace", "create", space, "--max-jobs", "1").stdout
    flags = ("--schedule", "@daily", "--url", "http://127.0.0.1:9/", "--namespace", space)
    mesh.ctl("job", "create", "--id", "one", "--name", "1", *flags)
    refused = mesh.ctl("job", "create", "--id", "two", "--name", "2", *flags, may_fail=True)
    assert refused.returncode == 1
    assert "namespace get" in refused.stderr
    mesh.ctl("job", "delete", "one", "--namespace", space)
    mesh.ctl("namespace", "delete", space)
    assert "HOST" in mesh.ctl("circuit-breakers").stdout or "(none)" in mesh.ctl("circuit-breakers").stdout


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
