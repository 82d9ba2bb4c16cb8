"""Schedules over REST: checked, described, looked at in advance; calendars; what is wrong is said with its place."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.e2e.api import created, job
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import eventually
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh
NOON = "2026-03-28T12:00:00Z"


def validated(api: httpx.Client, **question: object) -> dict[str, object]:
    answer = api.post("/api/v1/schedules/validate", json=question)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize(
    ("schedule", "first"),
    [
        ("30 2 * * *", "2026-03-29T03:00:00+02:00"),
        ("0 9 * * MON#1", "2026-04-06T09:00:00+02:00"),
        ("0 18 LW * *", "2026-03-31T18:00:00+02:00"),
        ("@every 90m", "2026-03-28T14:30:00+01:00"),
        ("@at 2027-01-01T09:00:00", "2027-01-01T09:00:00+01:00"),
        ("DTSTART:20260101T170000 RRULE:FREQ=MONTHLY;BYDAY=-1FR", "2026-04-24T17:00:00+02:00"),
    ],
)
def test_a_schedule_is_checked_described_and_looked_at_in_advance(api: httpx.Client, schedule: str, first: str) -> None:
    answer = validated(api, schedule=schedule, timezone="Europe/Berlin", **{"from": NOON}, count=3)
    assert answer["valid"], answer
    assert answer["description"]
    runs = answer["next_runs"]
    assert isinstance(runs, list)
    assert runs[0]["local_time"] == first or schedule.startswith("@every")


def test_a_policy_decides_about_a_wall_time_that_the_clocks_skip(api: httpx.Client) -> None:
    question = {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "from": NOON, "count": 1}
    moved = validated(api, **question)["next_runs"]
    assert isinstance(moved, list)
    assert moved[0]["time"] == "2026-03-29T01:00:00Z"
    assert "02:30" in " ".join(moved[0]["notes"])
    skipping = validated(api, **question, dst_policy={"skipped_time": "skip"})["next_runs"]
    assert isinstance(skipping, list)
    assert [run["is_removed"] for run in skipping] == [True, False]
    assert skipping[1]["time"] == "2026-03-30T00:30:00Z"


@pytest.mark.parametrize(
    ("schedule", "part", "position"),
    [
        ("0 9 * * FRI-MON", "FRI-MON", 8),
        ("61 * * * *", "61", 0),
        ("0 0 30 2 *", "", None),
        ("@dayly", "@dayly", 0),
        ("* * MON * *", "MON", 4),
        ("RRULE:FREQ=DAILY;COUNT=3;UNTIL=20270101", "", None),
    ],
)
def test_a_wrong_schedule_is_answered_with_its_place_and_an_example(
    api: httpx.Client, schedule: str, part: str, position: int | None
) -> None:
    answer = validated(api, schedule=schedule)
    assert answer["valid"] is False
    problems = answer["problems"]
    assert isinstance(problems, list)
    assert problems[0]["field"] == "schedule"
    assert problems[0]["example"]
    if position is not None:
        assert (problems[0]["part"], problems[0]["position"]) == (part, position)


def test_calendars_windows_and_jitter_show_in_the_next_runs(api: httpx.Client, fresh: Fresh) -> None:
    calendar, name = fresh("holidays"), fresh("payroll")
    answer = api.post("/api/v1/calendars", json={"id": calendar, "name": "Holidays", "dates": ["2027-01-01"]})
    assert answer.status_code == 200, answer.text
    created(
        api,
        job(
            name,
            schedule="0 9 1 * *",
            timezone="Europe/Berlin",
            calendars={"exclude": ["weekends", calendar], "roll": "next_business_day"},
        ),
    )
    answer = api.get(f"/api/v1/jobs/{name}/next-runs", params={"from": "2026-12-15T00:00:00Z", "count": 2})
    runs = answer.json()["next_runs"]
    assert runs[0]["local_time"] == "2027-01-04T09:00:00+01:00"
    assert calendar in " ".join(runs[0]["notes"])
    assert runs[1]["local_time"] == "2027-02-01T09:00:00+01:00"
    assert api.delete(f"/api/v1/calendars/{calendar}").status_code == 400


def test_a_calendar_takes_in_an_icalendar_file(api: httpx.Client, fresh: Fresh) -> None:
    calendar = fresh("imported")
    text = "\r\n".join([
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//y//EN",
        "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z", "DTSTART;VALUE=DATE:20261225", "DTEND;VALUE=DATE:20261227",
        "SUMMARY:Christmas", "END:VEVENT",
        "END:VCALENDAR", "",
    ])  # fmt: skip
    answer = api.post(f"/api/v1/calendars/{calendar}/import", json={"icalendar": text})
    assert answer.status_code == 200, answer.text
    assert "2026-12-25/2026-12-26" in answer.json()["dates"]
    garbage = api.post(f"/api/v1/calendars/{calendar}/import", json={"icalendar": "hello"})
    assert garbage.status_code == 400
    assert "icalendar" in garbage.text


def test_runs_inside_a_blackout_window_do_not_arrive_and_are_explained(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("frozen")
    now = datetime.now(UTC)
    closed = now - timedelta(hours=1), now + timedelta(hours=1)
    window = {"start": f"{closed[0]:%H:%M:%S}", "end": f"{closed[1]:%H:%M:%S}"}
    created(api, job(name, receiver.url("/ok"), schedule="* * * * * *", blackout_windows=[window]))
    skipped = eventually(
        lambda: api.get(f"/api/v1/jobs/{name}/executions", params={"status": "SKIPPED"}).json()["executions"]
    )
    assert skipped[0]["reason_code"] == "WINDOW"
    assert receiver.of_job(name) == []
    at = (now + timedelta(seconds=5)).isoformat()
    assert api.get(f"/api/v1/jobs/{name}/explain", params={"at": at}).json()["verdict"] in ("REMOVED", "SKIPPED")


def test_the_forecast_shows_the_herd_before_it_comes(api: httpx.Client, fresh: Fresh) -> None:
    space = fresh("herd")
    for number in range(5):
        answer = api.post(f"/api/v1/namespaces/{space}/jobs", json=job(f"j{number}", schedule="0 * * * *"))
        assert answer.status_code == 200, answer.text
    query = {"from": "2027-01-01T00:00:00Z", "to": "2027-01-01T02:00:00Z", "step": "1800s"}
    answer = api.get(f"/api/v1/namespaces/{space}/forecast", params=query).json()
    assert [int(interval["runs"]) for interval in answer["intervals"]] == [5, 0, 5, 0]
    assert int(answer["intervals"][0]["peak_per_second"]) == 5
    assert int(api.get("/api/v1/forecast", params=query).json()["total_runs"]) >= 10


def test_a_job_with_max_runs_stops_by_itself(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("thrice")
    created(api, job(name, receiver.url("/ok"), schedule="* * * * * *", max_runs=3))
    eventually(lambda: len(receiver.of_job(name)) == 3)
    assert "next_run" not in api.get(f"/api/v1/jobs/{name}").json()
