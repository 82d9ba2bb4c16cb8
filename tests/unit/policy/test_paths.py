"""Where paths lead, and which are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.domain.facts import Facts
from services.policy.domain.limits import Extent
from services.policy.domain.paths import read_path
from services.policy.domain.policy import Json
from tests.unit.policy.test_operators import json_values

JOB: Json = {
    "tags": {"team": "data", "cost.center": "4711"},
    "windows": [{"start": "08:00", "days": ["MON", "TUE"]}, {"start": "12:00"}, {"start": None, "days": []}],
    "calendars": ["of-the-job"],
    "nothing": None,
    "number": 5,
}
FACTS = Facts({"job": JOB, "calendars": ["today"], "before": {"tags": {}}}, Extent())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tags.team", "data"),
        ("job.tags.team", "data"),
        ('tags["cost.center"]', "4711"),
        ("tags['cost.center']", "4711"),
        ('["tags"]["team"]', "data"),
        ("windows[0].start", "08:00"),
        ("windows[-2].start", "12:00"),
        ("windows[0].days[1]", "TUE"),
        ("windows[3].start", None),
        ("windows[-4].start", None),
        ("windows.start", None),
        ("tags[0]", None),
        ("tags.team.lead", None),
        ("nothing", None),
        ("nothing.at.all", None),
        ("number[0]", None),
        ("calendars", ["today"]),
        ("job.calendars", ["of-the-job"]),
        ("before.tags", {}),
        ("load.job_runs", None),
    ],
)
def test_a_path_leads_to_a_value_or_to_nothing(text: str, value: Json) -> None:
    path = read_path(text)
    assert not path.is_wild
    assert path.value(FACTS) == value
    assert [found for _, found in path.places(FACTS)] == [value]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (
            "windows[*].start",
            [("windows[0].start", "08:00"), ("windows[1].start", "12:00"), ("windows[2].start", None)],
        ),
        (
            "windows[*].days[*]",
            [
                ("windows[0].days[0]", "MON"),
                ("windows[0].days[1]", "TUE"),
                ("windows[1].days[*]", None),
                ("windows[2].days[*]", None),
            ],
        ),
        ("tags[*]", [("tags.team", "data"), ('tags["cost.center"]', "4711")]),
        ("before.tags[*]", [("before.tags[*]", None)]),
        ("number[*]", [("number[*]", None)]),
        ("calendars[*]", [("calendars[0]", "today")]),
    ],
)
def test_a_wildcard_leads_to_each_place(text: str, places: list[tuple[str, Json]]) -> None:
    path = read_path(text)
    assert path.is_wild
    assert list(path.places(FACTS)) == places
    assert path.values(FACTS) == [value for _, value in places]


@pytest.mark.parametrize(
    ("text", "character"),
    [("a..b", 2), ("a.", 2), (".a", 1), ("a[b]", 2), ("a[*", 2), ("a b", 2), ("a[0]b", 5), ('a["b]', 2), ("a[1.5]", 2)],
)
def test_what_is_no_path_is_refused_with_the_place(text: str, character: int) -> None:
    with pytest.raises(ValueError, match=f"it is wrong at character {character};"):
        read_path(text)


@pytest.mark.parametrize("text", ["", "a" * 257, "[0]", "[*].a"])
def test_a_path_has_a_length_and_begins_with_a_name(text: str) -> None:
    with pytest.raises(ValueError):
        read_path(text)


@given(text=st.text(max_size=20), facts=st.dictionaries(st.text(max_size=3), json_values, max_size=3))
def test_whatever_is_written_is_a_path_or_refused(text: str, facts: dict[str, Json]) -> None:
    try:
        path = read_path(text)
    except ValueError:
        return
    assert path.values(Facts({"job": facts}, Extent()))


@given(facts=st.dictionaries(st.sampled_from("abc"), json_values, max_size=3))
def test_values_and_places_are_the_same_whatever_the_facts(facts: dict[str, Json]) -> None:
    known = Facts({"job": facts}, Extent())
    for text in ("a", "a[*]", "a[*].b[*]", "a[0].b", "b[*][-1]", 'c[""]'):
        path = read_path(text)
        assert path.values(known) == [value for _, value in path.places(known)]
