"""The filter of ListJobs."""

import pytest

from services.scheduler.domain.filter import FilterError, parse_filter


@pytest.mark.parametrize(
    ("text", "is_enabled", "tags", "expected"),
    [
        ("", False, {}, True),
        ("enabled = true", True, {}, True),
        ("enabled=false", True, {}, False),
        ('tags.team = "x"', True, {"team": "x"}, True),
        ('tags.team = "x"', True, {"team": "y"}, False),
        ('tags.team = "x"', True, {}, False),
        ('enabled = true AND tags.team = "a b" and tags.env=prod', True, {"team": "a b", "env": "prod"}, True),
        ("enabled = true AND enabled = false", True, {}, False),
        ("tags.a = x AND tags.a = y", True, {"a": "y"}, False),
    ],
)
def test_a_filter_chooses(text: str, is_enabled: bool, tags: dict[str, str], expected: bool) -> None:
    assert parse_filter(text).matches(is_enabled=is_enabled, tags=tags) is expected


@pytest.mark.parametrize("text", ["enabled", "enabled = maybe", "tags = x", "enabled = true OR enabled = false",
                                  'tags.a = "x" AND', 'tags.a = "x', "name = x"])  # fmt: skip
def test_a_filter_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(FilterError):
        parse_filter(text)
