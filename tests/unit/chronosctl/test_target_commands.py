"""`chronosctl target test`."""

from pathlib import Path

from tests.fakes.edge import Answer, FakeEdge
from tests.unit.chronosctl.conftest import Ctl

JOB = """
id: bill
name: Bill
schedule: "@daily"
timeout: 5s
webhook: {url: "https://example.com/bill"}
"""
TRIAL = {"timeout": "5s", "webhook": {"url": "https://example.com/bill"}}


def test_the_target_of_a_file_is_tried_and_what_came_back_is_shown(ctl: Ctl, edge: FakeEdge, home: Path) -> None:
    (home / "job.yaml").write_text(JOB)
    request = {"method": "POST", "url": "https://example.com/bill", "headers": {"User-Agent": "Chronos/1"}}
    edge.will(Answer(body={"success": True, "status_code": 201, "duration": "0.012s", "request": request}))
    ran = ctl("target", "test", "-f", "job.yaml")
    assert ran.status == 0
    assert (edge.asked[0].path, edge.asked[0].body) == ("/api/v1/targets/test", TRIAL)
    for shown in ("SUCCESS", "201", "12 ms", "POST https://example.com/bill", "User-Agent: Chronos/1"):
        assert shown in ran.out


def test_a_trial_that_fails_exits_with_1(ctl: Ctl, edge: FakeEdge, home: Path) -> None:
    (home / "job.yaml").write_text(JOB)
    edge.will(Answer(body={"is_retryable": True, "error": "connection refused by example.com:443"}))
    ran = ctl("target", "test", "-f", "job.yaml", "--namespace", "billing")
    assert ran.status == 1
    assert edge.asked[0].path == "/api/v1/namespaces/billing/targets/test"
    assert "FAILED, a job would try again" in ran.out
    assert "connection refused" in ran.out


def test_a_job_without_a_target_is_refused_here(ctl: Ctl, edge: FakeEdge, home: Path) -> None:
    (home / "job.yaml").write_text("id: bill\nname: Bill\n")
    ran = ctl("target", "test", "-f", "job.yaml")
    assert ran.status == 2
    assert "has no target" in ran.err
    assert not edge.asked
