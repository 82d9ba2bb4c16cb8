from pathlib import Path

import pytest

from cli.chronosctl.documents import read_job, read_jobs
from cli.chronosctl.durations import duration_json
from cli.chronosctl.errors import UsageError
from cli.chronosctl.fields import find_field, mask_paths, typed_value


def jobs_in(folder: Path, text: str) -> list[dict[str, object]]:
    path = folder / "jobs.yaml"
    path.write_text(text)
    return read_jobs(str(path))


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
        ("tags: {2026-01-01: x}", "is not text"),
        ("description: 2026-01-01", "put it in quotes"),
    ],
)
def test_a_wrong_file_is_refused_with_advice(tmp_path: Path, text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        jobs_in(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_jobs(str(tmp_path / "none.yaml"))


def test_a_command_for_one_job_refuses_two(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("[{name: a}, {name: b}]")
    with pytest.raises(UsageError, match="holds 2 jobs"):
        read_job(str(tmp_path / "two.yaml"))


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
