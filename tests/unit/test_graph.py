"""Who depends on whom: cycles are found and named."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.graph import dependants_text, dependency_violations, find_cycle

NAMES = st.sampled_from([f"j{number}" for number in range(8)])
EDGES = st.dictionaries(NAMES, st.frozensets(NAMES, max_size=4), max_size=8)


def test_a_cycle_is_named_from_the_job_back_to_it() -> None:
    assert find_cycle("a", ["c"], {"c": ["b"], "b": ["a"]}) == ["a", "c", "b", "a"]


def test_a_diamond_is_no_cycle() -> None:
    assert find_cycle("d", ["b", "c"], {"b": ["a"], "c": ["a"]}) == []


def test_each_wrong_dependency_is_told_with_its_place() -> None:
    graph = {"x": ["me"], "y": ["x"]}
    found = list(dependency_violations("me", ["me", "gone", "ok", "y"], missing=["gone"], parents_of=graph))
    assert [violation.field for violation in found] == [f"dependencies.depends_on[{place}]" for place in (0, 1, 3)]
    assert "itself" in found[0].description
    assert '"gone", which does not exist' in found[1].description
    assert "me → y → x → me" in found[2].description


def test_five_dependants_are_named_and_the_others_counted() -> None:
    assert "a, b, c, d, e depend" in dependants_text("x", ["a", "b", "c", "d", "e"])
    assert "a, b, c, d, e and others" in dependants_text("x", ["a", "b", "c", "d", "e", "f"])


@given(EDGES, NAMES, st.frozensets(NAMES, min_size=1, max_size=4))
def test_there_is_a_cycle_exactly_if_a_parent_can_reach_the_job(
    graph: dict[str, frozenset[str]], job: str, parents: frozenset[str]
) -> None:
    graph = {name: found for name, found in graph.items() if name != job}
    reached, todo = set(parents), list(parents)
    while todo:
        for parent in graph.get(todo.pop(), ()):
            if parent not in reached:
                reached.add(parent)
                todo.append(parent)
    cycle = find_cycle(job, parents, graph)
    assert bool(cycle) == (job in reached)
    if cycle:
        assert cycle[0] == cycle[-1] == job
        assert cycle[1] in parents
        assert all(after in graph[before] for before, after in pairwise(cycle[1:]))
