import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.templates import VARIABLES, parse_template, unknown_variables

VALUES = {name: f"<{name}>" for name in VARIABLES}


def render(text: str) -> str:
    return parse_template(text).render(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{.JobID}}", "<JobID>"),
        ("{{ .JobID }}{{.Attempt}}", "<JobID><Attempt>"),
        (
            '{"id": "{{.ExecutionID}}", "at": "{{\t.ScheduledTime }}"}',
            '{"id": "<ExecutionID>", "at": "<ScheduledTime>"}',
        ),
        ('literal {{"{{"}}.JobID}}', "literal {{.JobID}}"),
        ("{{.Nope}} {{.JobName}}", "{{.Nope}} <JobName>"),
        ('{"a": {"b": {}}}', '{"a": {"b": {}}}'),
        ("open {{ never closed", "open {{ never closed"),
    ],
)
def test_variables_are_filled_in_and_everything_else_stays(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{{.JobID}} {{ .Attempt }} {{"{{"}}', ()),
        ("{{.JobId}}", ("{{.JobId}}",)),
        ("{{JobID}} {{ x }} {{JobID}}", ("{{JobID}}", "{{ x }}")),
        ("{{.JobID | upper}}{{}}", ("{{.JobID | upper}}", "{{}}")),
        ('{"a": {"b": {}}}', ()),
    ],
)
def test_what_is_no_variable_is_named(text: str, expected: tuple[str, ...]) -> None:
    assert unknown_variables(text) == expected


@given(st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    template = parse_template(text)
    assert len(template.literals) == len(template.names) + 1


AS_WRITTEN = {name: "{{." + name + "}}" for name in VARIABLES}


@given(st.lists(st.one_of(st.text(alphabet="ab{} .\n"), st.sampled_from(list(AS_WRITTEN.values())))))
def test_a_text_keeps_everything_around_its_variables(parts: list[str]) -> None:
    text = "".join(parts)
    rendered = parse_template(text).render(AS_WRITTEN)
    assert "".join(rendered.split()) == "".join(text.split())
