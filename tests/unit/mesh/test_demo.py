from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cronsim import CronSim

from cli.chronos.demo.evidence import Evidence, Summary, Window, is_complete, summarize
from cli.chronos.demo.jobs import JOBS, DemoJob
from cli.chronos.demo.run import empty
from cli.chronos.demo.view import cells, summary_text
from cli.chronos.errors import MeshError

START = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
END = START + timedelta(seconds=20)
EVERY_SECOND = next(job for job in JOBS if job.id == "every-second")
WINDOW = Window(job=EVERY_SECOND, start=START, end=START + timedelta(seconds=2))


def call(number: int, due: datetime, *, execution: str = "", attempt: int = 1, status: int = 200) -> dict[str, Any]:
    return {
        "number": number,
        "job_id": EVERY_SECOND.id,
        "execution_id": execution or f"run-{due.timestamp()}",
        "scheduled_time": due.isoformat(),
        "attempt": attempt,
        "late_seconds": 0.001 * number,
        "status_code": status,
        "body": "",
    }


def evidence(*calls: dict[str, Any]) -> Evidence:
    """These calls, and the records in history that go with them."""
    attempts = {item["execution_id"]: item["attempt"] for item in calls}
    executions = {name: {"status": "SUCCESS", "attempt_count": count} for name, count in attempts.items()}
    return Evidence(calls=list(calls), executions=executions)


def due(second: int) -> datetime:
    return datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC)


@pytest.mark.parametrize("job", [job for job in JOBS if job.schedule.startswith("*")], ids=lambda job: job.id)
def test_occurrences_of_a_cron_job_are_those_of_cron(job: DemoJob) -> None:
    cron = CronSim(job.schedule, START)
    wanted = []
    while (moment := next(cron)) <= END:
        wanted.append(moment)
    assert list(job.occurrences(START, END)) == wanted


def test_occurrences_of_an_interval_count_from_the_creation() -> None:
    job = next(job for job in JOBS if job.from_creation)
    assert list(job.occurrences(START, START + timedelta(seconds=5))) == [
        START + timedelta(seconds=2),
        START + timedelta(seconds=4),
    ]


def test_a_job_run_by_hand_has_no_occurrences() -> None:
    assert [job.id for job in JOBS if not list(job.occurrences(START, END))] == ["by-hand"]


def test_all_is_well_when_every_occurrence_came_once() -> None:
    seen = evidence(call(1, due(1)), call(2, due(2)))
    summary = summarize([WINDOW], seen)
    assert summary.is_good
    assert is_complete([WINDOW], seen)
    assert (summary.expected, summary.statuses) == (2, {"SUCCESS": 2})


def test_an_occurrence_that_did_not_come_is_missed() -> None:
    summary = summarize([WINDOW], evidence(call(1, due(1))))
    assert not summary.is_good
    assert summary.missed == ("every-second at 2026-01-01T12:00:02+00:00",)
    assert "missed every-second at 2026-01-01T12:00:02" in summary_text(summary)


def test_a_refused_call_that_is_repeated_is_not_missed_and_not_doubled() -> None:
    seen = evidence(call(1, due(1), status=503), call(2, due(1), attempt=2), call(3, due(2)))
    summary = summarize([WINDOW], seen)
    assert summary.is_good
    assert summary.retried == 1


def test_an_occurrence_that_came_twice_is_doubled() -> None:
    summary = summarize([WINDOW], evidence(call(1, due(1)), call(2, due(1)), call(3, due(2))))
    assert (summary.doubled, summary.is_good) == (1, False)


def test_a_run_that_history_does_not_hold_is_told() -> None:
    seen = evidence(call(1, due(1)), call(2, due(2)))
    seen.executions.pop(f"run-{due(2).timestamp()}")
    summary = summarize([WINDOW], seen)
    assert (summary.unrecorded, summary.is_good) == (1, False)


def test_a_failed_run_is_not_well() -> None:
    seen = evidence(call(1, due(1)), call(2, due(2)))
    seen.executions["other"] = {"status": "FAILED", "attempt_count": 3}
    assert not summarize([WINDOW], seen).is_good


def test_a_run_asked_for_by_hand_must_come() -> None:
    seen = evidence(call(1, due(1)), call(2, due(2)))
    seen.by_hand.append("asked")
    assert summarize([WINDOW], seen).missed == ("by-hand run asked",)


def test_a_body_must_be_that_of_its_own_run() -> None:
    right, wrong = call(1, due(1), execution="a"), call(2, due(2), execution="b")
    right["body"] = wrong["body"] = '{"job": "every-second", "execution": "a"}'
    assert summarize([WINDOW], evidence(right, wrong)).wrong_bodies == 1


def test_lateness_is_that_of_first_attempts() -> None:
    calls = [call(1, due(1)), call(900, due(1), attempt=2), call(3, due(2))]
    summary = summarize([WINDOW], evidence(*calls))
    assert summary.late_max_ms == pytest.approx(3.0)


def test_nothing_at_all_is_not_well() -> None:
    summary = summarize([], Evidence())
    assert isinstance(summary, Summary)
    assert not summary.is_good


def test_an_execution_shows_how_late_it_began() -> None:
    row = cells(
        {
            "id": "x",
            "job_id": "every-second",
            "scheduled_time": "2026-01-01T12:00:00Z",
            "started_at": "2026-01-01T12:00:00.012345Z",
            "status": "SUCCESS",
            "status_code": 200,
            "attempt_count": 1,
        }
    )
    assert [cell.strip() for cell in row] == ["12:00:00.000", "every-second", "+12.3 ms", "SUCCESS", "200", "1"]


def test_an_earlier_demo_is_removed(tmp_path: Path) -> None:
    (tmp_path / "demo" / "etcd").mkdir(parents=True)
    empty(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(MeshError, match=r"thesis\.txt"):
        empty(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
