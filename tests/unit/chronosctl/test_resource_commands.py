"""Jobs with all their options, calendars, namespaces, and files with all of them."""

import json
from pathlib import Path

import pytest
import yaml

from tests.fakes.edge import Answer, FakeEdge
from tests.unit.chronosctl.conftest import Ctl

JOB = {"id": "a", "name": "A", "schedule": "@hourly", "webhook": {"url": "http://x"}}
CALENDAR = {"id": "holidays", "name": "Holidays", "dates": ["12-25"], "weekdays": "SUN", "rules": [], "etag": "3"}
NAMESPACE = {"id": "team", "quotas": {"max_jobs": 5, "max_concurrent_runs": -1}}
OPTIONS = (
    "--name A --depends-on x --depends-on y --url http://x --concurrency queue --max-queued 3 --priority 9 "
    "--missed execute-all --delivery at-most-once --jitter 30s --max-runs 7 --attempts 2 --exclude-calendar holidays "
    "--active MON@09:00-10:00 --start 2027-01-01T00:00:00Z --set catch_up.max_runs=5"
)
MEANT = {
    "name": "A",
    "dependencies": {"depends_on": ["x", "y"]},
    "webhook": {"url": "http://x"},
    "concurrency": "QUEUE",
    "max_queued_runs": 3,
    "priority": 9,
    "missed_run_policy": "EXECUTE_ALL",
    "delivery_guarantee": "AT_MOST_ONCE",
    "jitter": "30s",
    "max_runs": 7,
    "retry_policy": {"max_attempts": 2},
    "calendars": {"exclude": ["holidays"]},
    "active_windows": [{"days": "MON", "start": "09:00", "end": "10:00"}],
    "start_time": "2027-01-01T00:00:00Z",
    "catch_up": {"max_runs": 5},
}


def test_create_replace_and_update_take_the_same_options(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB))
    assert ctl("job", "create", *OPTIONS.split()).status == 0
    assert ctl("job", "replace", "a", *OPTIONS.split(), "--comment", "new").status == 0
    assert ctl("job", "update", "a", *OPTIONS.split(), "--comment", "new").status == 0
    assert [asked.body for asked in edge.asked] == [MEANT, MEANT, MEANT]
    assert edge.asked[1].query == {"comment": ["new"]}
    assert edge.asked[2].query["comment"] == ["new"]
    assert "dependencies.depends_on" in edge.asked[2].query["update_mask"][0].split(",")


def test_options_win_over_the_file_of_a_replacement(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB))
    ctl("job", "replace", "-f", "-", "--schedule", "@daily", "--tag", "team=x", stdin=yaml.safe_dump(JOB))
    assert edge.asked[0].body == JOB | {"schedule": "@daily", "tags": {"team": "x"}}


def test_a_header_is_added_to_those_that_a_job_has(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB | {"webhook": {"url": "http://x", "headers": {"A": "1"}}, "etag": "7"}))
    ctl("job", "update", "a", "--header", "B=2")
    assert edge.asked[1].body == {"etag": "7", "webhook": {"headers": {"A": "1", "B": "2"}}}


def test_the_job_table_shows_when_it_runs_and_what_happens_on_overlap(ctl: Ctl, edge: FakeEdge) -> None:
    follower = {"id": "b", "dependencies": {"depends_on": ["a", "x"]}, "concurrency": "QUEUE"}
    edge.will(Answer(body={"jobs": [JOB | {"concurrency": "CONCURRENCY_UNSPECIFIED"}, follower]}))
    lines = ctl("job", "list").out.splitlines()
    assert "CONCURRENCY" in lines[0]
    assert "FORBID" in lines[1]
    assert "after a, x" in lines[2]
    assert "QUEUE" in lines[2]


def test_a_job_is_shown_with_what_it_does_at_its_times(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB | MEANT | {"dst_policy": {"skipped_time": "SKIP", "repeated_time": "FIRST"}}))
    shown = ctl("job", "get", "a").out
    for part in (
        "MON@09:00-10:00",
        "not on holidays",
        "30.00 s",
        "EXECUTE_ALL",
        "AT_MOST_ONCE",
        "at most 3",
        "after x, y",
    ):
        assert part in shown


def test_calendars_are_made_changed_and_deleted(ctl: Ctl, edge: FakeEdge, home: Path) -> None:
    edge.will(Answer(body=CALENDAR))
    assert (
        ctl("calendar", "create", "holidays", "--date", "12-25", "--date", "2026-04-03", "--weekdays", "SUN").status
        == 0
    )
    (home / "c.yaml").write_text(yaml.safe_dump(CALENDAR | {"updated_by": "k"}))
    assert "12-25" in ctl("calendar", "replace", "-f", "c.yaml").out
    assert ctl("calendar", "get", "holidays", "-o", "json").status == 0
    assert ctl("calendar", "delete", "holidays", "--etag", "3").out == "Deleted holidays.\n"
    assert edge.asked[0].body == {
        "id": "holidays",
        "name": "holidays",
        "dates": ["12-25", "2026-04-03"],
        "weekdays": "SUN",
    }
    assert (edge.asked[1].method, edge.asked[1].path, edge.asked[1].body) == (
        "PUT",
        "/api/v1/calendars/holidays",
        CALENDAR,
    )
    assert edge.asked[3].query == {"etag": ["3"]}


def test_calendars_are_listed(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"calendars": [CALENDAR]}))
    assert "Holidays" in ctl("calendar", "list").out


def test_an_icalendar_file_is_imported_under_its_name(ctl: Ctl, edge: FakeEdge, home: Path) -> None:
    edge.will(Answer(body=CALENDAR))
    (home / "Holidays.ics").write_text("BEGIN:VCALENDAR\n")
    assert ctl("calendar", "import", "Holidays.ics", "--merge", "--name", "Days off").status == 0
    assert edge.asked[0].path == "/api/v1/calendars/holidays/import"
    assert edge.asked[0].body == {"icalendar": "BEGIN:VCALENDAR\n", "name": "Days off", "merge": True}


def test_namespaces_are_made_with_limits_and_are_never_inside_another(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=NAMESPACE))
    made = ctl("namespace", "create", "team", "--max-jobs", "5", "--max-concurrent-runs", "-1", "--namespace", "other")
    assert "unlimited" in made.out
    assert ctl("namespace", "replace", "-f", "-", stdin=yaml.safe_dump(NAMESPACE)).status == 0
    assert ctl("namespace", "delete", "team").status == 0
    assert [asked.path for asked in edge.asked] == [
        "/api/v1/namespaces",
        "/api/v1/namespaces/team",
        "/api/v1/namespaces/team",
    ]
    assert [asked.body for asked in edge.asked] == [NAMESPACE, NAMESPACE, None]


def test_a_namespace_says_what_happens_when_policies_cannot_be_asked(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"id": "team", "policy_failure": "ALLOW"}))
    shown = ctl("namespace", "create", "team", "--policy-failure", "allow").out
    assert "policy failure  ALLOW" in shown
    assert edge.asked[0].body == {"id": "team", "policy_failure": "ALLOW"}
    edge.will(Answer(body={"id": "team", "policy_failure": "POLICY_FAILURE_UNSPECIFIED"}))
    printed = ctl("namespace", "get", "team", "-o", "yaml").out
    assert "policy failure  DENY" in ctl("namespace", "replace", "-f", "-", stdin=printed).out
    assert edge.asked[-1].body == {"id": "team", "policy_failure": "POLICY_FAILURE_UNSPECIFIED"}


def test_namespaces_are_listed_and_shown(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"namespaces": [NAMESPACE]}), Answer(body=NAMESPACE))
    assert "5" in ctl("namespace", "list").out
    assert "runs per hour" in ctl("namespace", "get", "team").out


def test_a_file_is_applied_in_the_order_in_which_its_things_need_each_other(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(
        Answer(status=404, body={"message": "no"}),
        Answer(body=NAMESPACE),
        Answer(body=CALENDAR),
        Answer(body=CALENDAR),
        Answer(status=404, body={"message": "no"}),
        Answer(body=JOB),
    )
    text = yaml.safe_dump({"jobs": [JOB | {"namespace": "team"}], "namespaces": [NAMESPACE], "calendars": [CALENDAR]})
    ran = ctl("apply", "-f", "-", stdin=text)
    assert ran.out == "Created namespace team.\nReplaced calendar holidays.\nCreated job a.\n"
    assert [(asked.method, asked.path) for asked in edge.asked] == [
        ("GET", "/api/v1/namespaces/team"),
        ("POST", "/api/v1/namespaces"),
        ("GET", "/api/v1/calendars/holidays"),
        ("PUT", "/api/v1/calendars/holidays"),
        ("GET", "/api/v1/namespaces/team/jobs/a"),
        ("POST", "/api/v1/namespaces/team/jobs"),
    ]


def test_applying_goes_on_after_a_refusal_and_tells_it_at_the_end(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB), Answer(status=400, body={"message": "bad"}), Answer(body=JOB))
    ran = ctl("apply", "-f", "-", "-o", "json", stdin=yaml.safe_dump([JOB, JOB | {"id": "b"}]))
    assert ran.status == 1
    assert json.loads(ran.out) == {"jobs": [JOB]}
    assert "1 of 2 were not applied: job a" in ran.err


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (("apply", "-f", "-"), "name: no id"),
        (("apply", "-f", "-"), "jobs: []"),
        (("apply",), ""),
        (("calendar", "create", "a"), ""),
        (("calendar", "create", "-f", "-", "--date", "12-25"), "id: a"),
        (("calendar", "replace", "-f", "-"), "name: no id"),
        (("calendar", "import", "-"), "BEGIN"),
        (("namespace", "create", "--max-jobs", "3"), ""),
        (("namespace", "create", "a", "--max-jobs", "-2"), ""),
        (("namespace", "create", "-f", "-", "--max-jobs", "3"), "id: a"),
        (("namespace", "create", "a", "--policy-failure", "perhaps"), ""),
        (("job", "replace", "a"), ""),
        (("job", "create", "--concurrency", "maybe"), ""),
    ],
)
def test_wrong_usage_exits_with_2_and_calls_nobody(
    ctl: Ctl, edge: FakeEdge, arguments: tuple[str, ...], stdin: str
) -> None:
    assert ctl(*arguments, stdin=stdin).status == 2
    assert edge.asked == []
