import json

import pytest

from cli.chronosctl.schedule_tables import underlined
from tests.fakes.edge import Answer, FakeEdge
from tests.unit.chronosctl.conftest import Ctl

RUN = {
    "time": "2026-11-23T08:30:00Z",
    "nominal_time": "2026-11-23T08:30:00Z",
    "local_time": "2026-11-23T09:30:00+01:00",
}
REMOVED = {
    "nominal_time": "2026-12-25T08:30:00Z",
    "local_time": "2026-12-25T09:30:00+01:00",
    "is_removed": True,
    "count": 2,
    "notes": ["the calendar holidays holds this day"],
}


def test_a_schedule_that_is_right_is_described_with_its_next_runs(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"valid": True, "description": "At 09:30, Monday to Friday", "next_runs": [RUN, REMOVED]}))
    ran = ctl(
        "schedule", "validate", "30 9 * * MON-FRI", "--timezone", "Europe/Berlin", "-n", "2", "--from", "2026-11-21"
    )
    assert ran.status == 0
    assert "Valid. At 09:30, Monday to Friday" in ran.out
    assert "2026-11-23T09:30:00+01:00" in ran.out
    assert "does not run (2 times); the calendar holidays holds this day" in ran.out
    assert edge.asked[0].body == {
        "schedule": "30 9 * * MON-FRI",
        "timezone": "Europe/Berlin",
        "count": 2,
        "from": "2026-11-21T00:00:00Z",
    }


def test_all_that_shapes_a_schedule_can_be_checked(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"valid": True}))
    flags = (
        "--dst-skipped skip --dst-repeated both --jitter 5m --start 2027-01-01T00:00:00Z --end 2028-01-01T00:00:00Z "
        "--max-runs 3 --active MON-FRI@09:00-17:00 --blackout 2026-12-24/2027-01-02 --exclude-calendar holidays "
        "--include-calendar work --roll next-business-day --job nightly"
    )
    assert ctl("schedule", "validate", "@daily", *flags.split()).status == 0
    assert edge.asked[0].path == "/api/v1/schedules/validate"
    assert edge.asked[0].body == {
        "schedule": "@daily",
        "dst_policy": {"skipped_time": "SKIP", "repeated_time": "BOTH"},
        "jitter": "300s",
        "start_time": "2027-01-01T00:00:00Z",
        "end_time": "2028-01-01T00:00:00Z",
        "max_runs": 3,
        "active_windows": [{"days": "MON-FRI", "start": "09:00", "end": "17:00"}],
        "blackout_windows": [{"first_date": "2026-12-24", "last_date": "2027-01-02"}],
        "calendars": {"include": ["work"], "exclude": ["holidays"], "roll": "NEXT_BUSINESS_DAY"},
        "job_id": "nightly",
    }


def test_a_schedule_that_is_wrong_is_shown_with_the_wrong_part_and_exits_with_1(ctl: Ctl, edge: FakeEdge) -> None:
    problem = {
        "field": "schedule",
        "description": "hours go to 23",
        "part": "25",
        "position": 2,
        "example": "0 9 * * *",
    }
    edge.will(Answer(body={"valid": False, "error": "hours go to 23", "problems": [problem]}))
    ran = ctl("schedule", "validate", "0 25 * * *")
    assert ran.status == 1
    assert "schedule: hours go to 23\n  0 25 * * *\n    ^^\n  for example: 0 9 * * *\n" in ran.out


def test_the_wrong_part_of_another_field_is_shown_in_that_field(ctl: Ctl, edge: FakeEdge) -> None:
    problem = {"field": "active_windows[1].start", "description": "no such hour", "part": "25", "position": 0}
    edge.will(Answer(body={"valid": False, "problems": [problem]}))
    ran = ctl("schedule", "validate", "@daily", "--active", "MON", "--active", "25:00-26:00")
    assert "  25:00\n  ^^\n" in ran.out


def test_a_verdict_for_programs_is_the_answer_unchanged(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"valid": False, "error": "no"}))
    ran = ctl("schedule", "validate", "x", "-o", "json")
    assert (ran.status, json.loads(ran.out)) == (1, {"valid": False, "error": "no"})


@pytest.mark.parametrize(
    ("text", "position", "part", "shown"),
    [
        ("a b", 2, "b", "  a b\n    ^"),
        ("DTSTART:1\nRRULE:X", 10, "RRULE:X", "  RRULE:X\n  ^^^^^^^"),
        ("ab", 2, "", "  ab\n    ^"),
        ("ab\ncd", 1, "b\ncd", "  ab\n   ^"),
    ],
)
def test_a_caret_stands_under_the_wrong_part(text: str, position: int, part: str, shown: str) -> None:
    assert underlined(text, position, part) == shown


def test_next_runs_of_a_job_are_shown_with_why_there_are_no_more(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"next_runs": [RUN], "note": "The job ends then."}))
    ran = ctl("job", "next-runs", "a", "-n", "5")
    assert "2026-11-23 08:30:00Z" in ran.out
    assert "The job ends then." in ran.err
    assert (edge.asked[0].path, edge.asked[0].query) == ("/api/v1/jobs/a/next-runs", {"count": ["5"]})


def test_a_forecast_has_a_bar_for_each_interval(ctl: Ctl, edge: FakeEdge) -> None:
    intervals = [
        {"start": "2026-11-21T09:00:00Z", "runs": "100", "peak_per_second": "80"},
        {"start": "2026-11-21T09:01:00Z", "runs": "1", "peak_per_second": "1"},
        {"start": "2026-11-21T09:02:00Z", "runs": "0", "peak_per_second": "0"},
    ]
    edge.will(Answer(body={"intervals": intervals, "total_runs": "101", "jobs": "40"}))
    ran = ctl("forecast", "--from", "2026-11-21T09:00:00Z", "--to", "2026-11-21T09:03:00Z", "--step", "1m")
    assert ran.out.splitlines() == [
        f"2026-11-21 09:00:00Z  100  {'#' * 50}  (at most 80 in a second)",
        "2026-11-21 09:01:00Z    1  #  (at most 1 in a second)",
        "2026-11-21 09:02:00Z    0",
        "101 runs of 40 jobs",
    ]
    assert edge.asked[0].path == "/api/v1/forecast"
    assert edge.asked[0].query["step"] == ["60s"]
    ctl("forecast", "--namespace", "team")
    assert edge.asked[1].path == "/api/v1/namespaces/team/forecast"


@pytest.mark.parametrize(
    "arguments",
    [
        ("schedule", "validate"),
        ("schedule", "validate", "@daily", "--dst-skipped", "never"),
        ("schedule", "validate", "@daily", "--start", "2027-01-01"),
        ("schedule", "validate", "@daily", "--active", "all day"),
        ("job", "next-runs", "a", "--from", "soon"),
        ("forecast", "--step", "5"),
        ("forecast", "--step", "5ms"),
    ],
)
def test_wrong_usage_exits_with_2_and_calls_nobody(ctl: Ctl, edge: FakeEdge, arguments: tuple[str, ...]) -> None:
    assert ctl(*arguments).status == 2
    assert edge.asked == []
