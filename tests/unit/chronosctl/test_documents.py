from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.chronosctl.documents import read_all, read_one
from cli.chronosctl.durations import duration_json
from cli.chronosctl.errors import UsageError
from cli.chronosctl.fields import find_field, mask_paths
from cli.chronosctl.moments import moment_json
from cli.chronosctl.values import typed_value
from cli.chronosctl.windows import window
from cli.chronosctl.yaml_text import yaml_value


def jobs_in(folder: Path, text: str) -> list[dict[str, object]]:
    path = folder / "jobs.yaml"
    path.write_text(text)
    return read_all(str(path))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5m", "300s"),
        ("1h30m", "5400s"),
        ("500ms", "0.500s"),
        ("90s", "90s"),
        ("1.5s", "1.500s"),
        ("1d", "86400s"),
        ("0s", "0s"),
        ("100s", "100s"),
    ],
)
def test_a_duration_is_turned_into_seconds(written: str, meant: str) -> None:
    assert duration_json(written) == meant


@pytest.mark.parametrize("written", ["", "5", "m5", "5 m", "-5m", "1h 30m", "5m!"])
def test_what_is_no_duration_is_refused_with_examples(written: str) -> None:
    with pytest.raises(ValueError, match="1h30m"):
        duration_json(written)


@pytest.mark.parametrize(
    "text",
    [
        "name: a\n---\nname: b\n",
        "- name: a\n- name: b\n",
        "jobs:\n  - name: a\n  - name: b\n",
        '{"jobs": [{"name": "a"}, {"name": "b"}]}',
        "name: a\n---\n---\njobs: [{name: b}]\n",
    ],
)
def test_several_jobs_may_be_written_in_every_usual_way(tmp_path: Path, text: str) -> None:
    assert jobs_in(tmp_path, text) == [{"name": "a"}, {"name": "b"}]


def test_durations_in_a_file_take_their_json_form_wherever_the_proto_has_a_duration(tmp_path: Path) -> None:
    [job] = jobs_in(
        tmp_path,
        "{name: a, description: 5m, timeout: 5m, webhook: {timeout: 1s}, retry_policy: {initial_interval: 250ms}}",
    )
    assert job == {
        "name": "a",
        "description": "5m",
        "timeout": "300s",
        "webhook": {"timeout": "1s"},
        "retry_policy": {"initial_interval": "0.250s"},
    }


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("timeout: 30", "timeout is 30; give it a unit"),
        ("retry_policy: {max_interval: soon}", 'retry_policy.max_interval: "soon" is not a duration'),
        ("schedule: * * * * *", "needs quotes"),
        ("- just text", "is not a job"),
        ("just text", "where a job is wanted"),
        ("", "holds no job"),
        ("tags: {1: x}", "is not text"),
        ("description: !!binary aGk=", "put it in quotes"),
        ("concurrency: forbit", "did you mean FORBID"),
        ("start_time: 2027-01-01T09:00:00", "does not say its offset"),
        ("start_time: tomorrow", "is not a time"),
        ("active_windows: 9-17h", "cannot read '9-17h'"),
        ("{depends_on: [a], dependencies: {depends_on: [b]}}", "one of the two"),
        ("jobs: {name: a}", "is a list"),
        ("{jobs: [{name: a}], calendars: [{id: c}]}", "chronosctl apply"),
    ],
)
def test_a_wrong_file_is_refused_with_advice(tmp_path: Path, text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        jobs_in(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_all(str(tmp_path / "none.yaml"))


def test_a_command_for_one_job_refuses_two(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("[{name: a}, {name: b}]")
    with pytest.raises(UsageError, match="holds 2 jobs"):
        read_one(str(tmp_path / "two.yaml"))


def test_a_mask_names_the_leaves_that_were_given() -> None:
    job = {
        "id": "a",
        "etag": "1",
        "uid": "u",
        "next_run": "2026-01-01T00:00:00Z",
        "tags": {"team": "x"},
        "webhook": {"url": "http://a", "headers": {"A": "b"}, "auth": {"basic": {"username": "u"}}},
        "timeout": "1s",
    }
    assert list(mask_paths(job)) == ["tags", "webhook.url", "webhook.headers", "webhook.auth.basic.username", "timeout"]


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("schedule", "* * * * *", "* * * * *"),
        ("enabled", "false", False),
        ("retry_policy.max_attempts", "5", 5),
        ("webhook.success_codes", "[200, 204]", [200, 204]),
        ("webhook.timeout", "1m", "60s"),
        ("tags", "{team: x}", {"team": "x"}),
        ("webhook.auth", "{bearer: {token: t}}", {"bearer": {"token": "t"}}),
        ("concurrency", "replace", "REPLACE"),
        ("start_time", "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("start_time", "null", None),
        ("depends_on", "[a, b]", ["a", "b"]),
        ("active_windows", "[MON@09:00-10:00]", [{"days": "MON", "start": "09:00", "end": "10:00"}]),
        ("calendars.roll", "previous-business-day", "PREVIOUS_BUSINESS_DAY"),
    ],
)
def test_a_value_on_the_command_line_takes_the_type_of_its_field(path: str, text: str, value: object) -> None:
    field, rest = find_field(path)
    assert (typed_value(field, text, path), rest) == (value, [])


def test_a_path_into_a_map_leaves_the_key_over() -> None:
    field, rest = find_field("tags.example.org/team")
    assert (field.name, rest) == ("tags", ["example", "org/team"])


@pytest.mark.parametrize(
    ("path", "advice"), [("timezon", "'timezone'"), ("webhook.ulr", "'url'"), ("name.x", "no fields")]
)
def test_an_unknown_field_is_refused_with_the_nearest_name(path: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        find_field(path)


def test_a_job_file_is_written_as_people_write(tmp_path: Path) -> None:
    [job] = jobs_in(
        tmp_path,
        """
        depends_on: extract
        concurrency: queue
        missed_run_policy: execute-all
        dst_policy: {skipped_time: next_valid}
        calendars: {exclude: holidays, roll: Next-Business-Day}
        start_time: 2027-01-01T09:00:00+01:00
        active_windows: [MON-FRI@9:00-17:00, {start: 22:00, end: 23:00, first_date: 2026-12-24}]
        blackout_windows: sat,sun
        jitter: 5m
        catch_up: {window: 1d, max_runs: 5}
        """,
    )
    assert job == {
        "dependencies": {"depends_on": ["extract"]},
        "concurrency": "QUEUE",
        "missed_run_policy": "EXECUTE_ALL",
        "dst_policy": {"skipped_time": "NEXT_VALID"},
        "calendars": {"exclude": ["holidays"], "roll": "NEXT_BUSINESS_DAY"},
        "start_time": "2027-01-01T08:00:00Z",
        "active_windows": [
            {"days": "MON-FRI", "start": "09:00", "end": "17:00"},
            {"start": "22:00", "end": "23:00", "first_date": "2026-12-24"},
        ],
        "blackout_windows": [{"days": "SAT,SUN"}],
        "jitter": "300s",
        "catch_up": {"window": "86400s", "max_runs": 5},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:00", "22:00"),
        ("2026-12-25", "2026-12-25"),
        ("12-25", "12-25"),
        ("017", "017"),
        ("17", 17),
        ("-1", -1),
        ("1.5", 1.5),
        ("2.", 2.0),
        ("1e3", 1000.0),
        ("yes", True),
        ("~", None),
    ],
)
def test_yaml_reads_times_and_days_as_text_and_numbers_as_numbers(text: str, value: object) -> None:
    assert yaml_value(text) == value


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("MON-FRI@09:00-17:00", {"days": "MON-FRI", "start": "09:00", "end": "17:00"}),
        ("9:00-17:30:30", {"start": "09:00", "end": "17:30:30"}),
        ("sat,sun", {"days": "SAT,SUN"}),
        ("1-5", {"days": "1-5"}),
        ("2026-12-24/2027-01-02", {"first_date": "2026-12-24", "last_date": "2027-01-02"}),
        (
            "2026-12-24@22:00-06:00",
            {"first_date": "2026-12-24", "last_date": "2026-12-24", "start": "22:00", "end": "06:00"},
        ),
    ],
)
def test_a_window_is_days_times_and_dates_joined(text: str, fields: dict[str, str]) -> None:
    assert window(text, "--active") == fields


@pytest.mark.parametrize(
    ("text", "advice"),
    [("", "cannot read ''"), ("9-17 Uhr", "9-17 Uhr"), ("MON@TUE", "'TUE' gives days a second time")],
)
def test_a_wrong_window_is_refused_by_its_part(text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        window(text, "--active")


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2026-11-21T12:00:00Z"),
        ("-2h", "2026-11-21T10:00:00Z"),
        ("+1d", "2026-11-22T12:00:00Z"),
        ("2026-11-01", "2026-11-01T00:00:00Z"),
        ("2026-11-01T09:00", "2026-11-01T09:00:00Z"),
        ("2026-11-01T09:00:00+02:00", "2026-11-01T07:00:00Z"),
        ("2026-11-01T09:00:00.5Z", "2026-11-01T09:00:00.500000Z"),
    ],
)
def test_a_moment_may_be_written_in_every_usual_way(text: str, meant: str) -> None:
    assert moment_json(text, NOW, "--from") == meant


@pytest.mark.parametrize("text", ["", "yesterday", "-2", "+x", "-99999999w", "2026-13-01"])
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match=r"--from.*-2h"):
        moment_json(text, NOW, "--from")
