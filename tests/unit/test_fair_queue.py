from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.fair_queue import FairQueue


def filled(*items: str) -> FairQueue[str]:
    """A queue of items such as `a5x`: namespace, priority, and a name."""
    queue: FairQueue[str] = FairQueue()
    for item in items:
        queue.push(item[0], int(item[1]), item)
    return queue


def drain(queue: FairQueue[str]) -> list[str]:
    items = []
    while queue:
        items.append(queue.pop())
    return items


def test_namespaces_take_turns() -> None:
    assert drain(filled("a5x", "a5y", "a5z", "b5x", "b5y")) == ["a5x", "b5x", "a5y", "b5y", "a5z"]


def test_a_burst_holds_up_another_namespace_by_one_item() -> None:
    queue = filled(*["a5x"] * 1000)
    queue.push("b", 1, "b1x")
    assert [queue.pop(), queue.pop()] == ["a5x", "b1x"]


def test_within_a_namespace_the_highest_priority_goes_first_and_then_the_oldest() -> None:
    assert drain(filled("a1x", "a9x", "a5x", "a9y", "a5y")) == ["a9x", "a9y", "a5x", "a5y", "a1x"]


def test_priority_takes_nothing_from_other_namespaces() -> None:
    assert drain(filled("a9x", "a9y", "a9z", "b1x", "b1y")) == ["a9x", "b1x", "a9y", "b1y", "a9z"]


def test_what_is_pushed_to_the_front_goes_before_its_equals_only() -> None:
    queue = filled("a5x", "a9x", "b5x")
    queue.push_front("a", 5, "a5!")
    assert drain(queue) == ["a9x", "b5x", "a5!", "a5x"]


def test_a_namespace_that_comes_back_joins_at_the_end_of_the_round() -> None:
    queue = filled("a5x", "b5x", "c5x")
    assert queue.pop() == "a5x"
    queue.push("a", 5, "a5y")
    assert drain(queue) == ["b5x", "c5x", "a5y"]


def test_an_empty_queue_has_nothing_to_pop() -> None:
    queue = filled()
    assert (len(queue), bool(queue)) == (0, False)
    with pytest.raises(IndexError):
        queue.pop()


def test_what_fits_is_taken_out_and_the_rest_keeps_its_order() -> None:
    queue = filled("a5x", "a9-", "b5-", "a5y", "c5x", "a5-")
    assert queue.take_if(lambda item: item.endswith("-")) == ["a9-", "a5-", "b5-"]
    assert len(queue) == 3
    assert drain(queue) == ["a5x", "c5x", "a5y"]


def test_a_namespace_for_which_nothing_waits_takes_no_memory() -> None:
    queue = filled("a5x", "b5x", "c5x")
    queue.take_if(lambda item: item == "c5x")
    drain(queue)
    assert not queue._spaces
    assert not queue._turns


STEPS = st.one_of(
    st.tuples(st.sampled_from(["push", "push_front"]), st.sampled_from("abc"), st.integers(1, 9)),
    st.just(("pop", "", 0)),
    st.tuples(st.just("take"), st.sampled_from("abc"), st.integers(1, 9)),
)


@given(st.lists(STEPS))
def test_it_does_what_a_slow_model_does(steps: list[tuple[str, str, int]]) -> None:
    queue: FairQueue[tuple[str, int, int]] = FairQueue()
    model: list[tuple[str, int, int]] = []
    turns: list[str] = []
    for number, (step, namespace, priority) in enumerate(steps):
        item = (namespace, priority, number)
        if step == "push":
            queue.push(namespace, priority, item)
            model.append(item)
        elif step == "push_front":
            queue.push_front(namespace, priority, item)
            model.insert(0, item)
        elif step == "take":
            taken = queue.take_if(lambda one, wanted=(namespace, priority): one[:2] == wanted)  # type: ignore[misc]
            assert taken == [one for one in model if one[:2] == (namespace, priority)]
            model = [one for one in model if one not in taken]
        elif model:
            expected = max((one for one in model if one[0] == turns[0]), key=lambda one: one[1])
            assert queue.pop() == expected
            model.remove(expected)
            turns.append(turns.pop(0))
        waiting = {one[0] for one in model}
        turns = [one for one in turns if one in waiting] + sorted(waiting - set(turns))
        assert len(queue) == len(model)


@given(st.lists(st.sampled_from("abc"), min_size=1))
def test_as_long_as_all_wait_nobody_is_more_than_one_turn_ahead(pushes: list[str]) -> None:
    queue: FairQueue[str] = FairQueue()
    for namespace in pushes:
        queue.push(namespace, 5, namespace)
    waiting, served = Counter(pushes), Counter[str]()
    while queue and all(served[name] < waiting[name] for name in waiting):
        served[queue.pop()] += 1
        counts = [served[name] for name in waiting]
        assert max(counts) - min(counts) <= 1
