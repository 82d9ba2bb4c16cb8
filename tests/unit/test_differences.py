"""What differs between two versions, field by field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.differences import DifferenceKind, differences

ADDED, REMOVED, MODIFIED = DifferenceKind.ADDED, DifferenceKind.REMOVED, DifferenceKind.MODIFIED
Tree = dict[str, Any]
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
trees = st.dictionaries(
    st.text(max_size=4),
    st.recursive(scalars, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=4), deeper)),
    max_size=4,
)


def shown(old: Tree, new: Tree, secrets: frozenset[str] = frozenset()) -> list[tuple[str, DifferenceKind, str, str]]:
    return [(one.path, one.kind, one.old, one.new) for one in differences(old, new, secrets=secrets)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"name": "a"}, {"name": "b"}, ("name", MODIFIED, '"a"', '"b"')),
        ({}, {"enabled": False}, ("enabled", ADDED, "", "false")),
        ({"max_runs": 3}, {}, ("max_runs", REMOVED, "3", "")),
        ({"webhook": {"url": "a", "body": "c"}}, {"webhook": {"url": "b", "body": "c"}},
         ("webhook.url", MODIFIED, '"a"', '"b"')),
        ({"tags": {"team": "x"}}, {}, ("tags.team", REMOVED, '"x"', "")),
        ({"tags": {}}, {"tags": {"app.io/x": "ü"}}, ('tags["app.io/x"]', ADDED, "", '"ü"')),
        ({"active_windows": [{"start": "09:00"}]}, {"active_windows": [{"start": "10:00"}]},
         ("active_windows[0].start", MODIFIED, '"09:00"', '"10:00"')),
        ({"a": ["x"]}, {"a": ["x", "y"]}, ("a[1]", ADDED, "", '"y"')),
        ({}, {"dst_policy": {}}, ("dst_policy", ADDED, "", "{}")),
        ({"a": "x"}, {"a": {"b": 1}}, ("a", MODIFIED, '"x"', '{"b": 1}')),
    ],
)  # fmt: skip
def test_a_leaf_that_differs_is_named_with_both_values(
    old: Tree, new: Tree, expected: tuple[str, DifferenceKind, str, str]
) -> None:
    assert shown(old, new) == [expected]


def test_several_differences_come_ordered_by_path() -> None:
    old = {"b": {"z": 1, "y": 2}, "c": list(range(11))}
    new = {"a": 0, "b": {"z": 2}, "c": [*range(2), -2, *range(3, 10), -10]}
    assert [path for path, *_ in shown(old, new)] == ["a", "b.y", "b.z", "c[2]", "c[10]"]


def test_a_secret_that_changed_is_told_and_not_shown() -> None:
    old, new = {"auth": {"token": "old"}}, {"auth": {"token": "new"}}
    mask = '"********"'
    assert shown(old, new, frozenset({"auth.token"})) == [("auth.token", MODIFIED, mask, mask)]
    assert shown(old, {}, frozenset({"auth.token"})) == [("auth.token", REMOVED, mask, "")]
    assert shown(old, old, frozenset({"auth.token"})) == []


@given(trees)
def test_nothing_differs_from_itself(tree: Tree) -> None:
    assert differences(tree, tree) == []


@given(trees, trees)
def test_the_other_way_round_tells_the_opposite(old: Tree, new: Tree) -> None:
    opposite = {ADDED: REMOVED, REMOVED: ADDED, MODIFIED: MODIFIED}
    forth = [(path, opposite[kind], after, before) for path, kind, before, after in shown(old, new)]
    assert forth == shown(new, old)
