from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.lanes import Lanes


def filled(most_active: int, *items: str) -> Lanes[str]:
    """Lanes with items such as `Xa5-1`: endpoint, namespace, priority, and a name."""
    lanes: Lanes[str] = Lanes(most_active)
    for item in items:
        push(lanes, item)
    return lanes


def push(lanes: Lanes[str], item: str) -> None:
    lanes.push(item[0], item[1], int(item[2]), item)


def remove(lanes: Lanes[str], item: str) -> None:
    lanes.remove(item[0], item[1], int(item[2]), item)


def pop_all(lanes: Lanes[str]) -> list[str]:
    items = []
    while (item := lanes.pop()) is not None:
        items.append(item)
    return items


def test_endpoints_take_turns_and_each_keeps_its_order() -> None:
    lanes = filled(10, "Xa5-1", "Xa5-2", "Xa5-3", "Ya5-1", "Ya5-2")
    assert pop_all(lanes) == ["Xa5-1", "Ya5-1", "Xa5-2", "Ya5-2", "Xa5-3"]


def test_namespaces_take_turns_at_the_same_endpoint() -> None:
    lanes = filled(2000, *["Xa5"] * 1000, "Xb5")
    assert [lanes.pop(), lanes.pop()] == ["Xa5", "Xb5"]


def test_a_burst_to_many_endpoints_delays_another_namespace_by_one_item() -> None:
    lanes = filled(10, *[f"{endpoint}a5" for endpoint in "ABCDEFGHIJKLMNOPQRSTUVW"], "Xb5")
    assert [lanes.pop(), lanes.pop()] == ["Aa5", "Xb5"]


def test_namespaces_take_turns_at_an_endpoint_that_is_full() -> None:
    lanes = filled(1, "Xa5-1", "Xa5-2", "Xa5-3", "Xa5-4")
    assert lanes.pop() == "Xa5-1"
    push(lanes, "Xb5-1")
    push(lanes, "Xb5-2")
    order = []
    while len(lanes):
        assert lanes.pop() is None
        lanes.done("X")
        order.append(lanes.pop())
    assert order == ["Xa5-2", "Xb5-1", "Xa5-3", "Xb5-2", "Xa5-4"]


def test_within_a_namespace_the_highest_priority_goes_first_whatever_its_endpoint() -> None:
    lanes = filled(10, "Xa1", "Xa5", "Ya9", "Xa9", "Xb1")
    assert pop_all(lanes) == ["Ya9", "Xb1", "Xa9", "Xa5", "Xa1"]


def test_a_full_endpoint_waits_until_something_is_done() -> None:
    lanes = filled(2, "Xa5-1", "Xa5-2", "Xa5-3", "Ya5-1")
    assert pop_all(lanes) == ["Xa5-1", "Ya5-1", "Xa5-2"]
    assert len(lanes) == 1
    lanes.done("Y")
    assert lanes.pop() is None
    lanes.done("X")
    assert lanes.pop() == "Xa5-3"


def test_taking_all_leaves_nothing_waiting_and_what_is_out_can_still_be_done() -> None:
    lanes = filled(1, "Xa5-1", "Xa5-2", "Yb5-1")
    assert lanes.pop() == "Xa5-1"
    assert lanes.take_all() == ["Xa5-2", "Yb5-1"]
    assert len(lanes) == 0
    assert lanes.pop() is None
    lanes.done("X")
    push(lanes, "Xa5-4")
    assert lanes.pop() == "Xa5-4"


def test_what_is_removed_is_not_popped() -> None:
    lanes = filled(1, "Xa5-1", "Xa5-2", "Xb5-1", "Ya9-1")
    for item in ("Xa5-1", "Xb5-1", "Ya9-1"):
        remove(lanes, item)
    remove(lanes, "Za5-1")
    remove(lanes, "Xa5-1")
    assert len(lanes) == 1
    assert pop_all(lanes) == ["Xa5-2"]
    lanes.done("X")
    assert not lanes._lanes


def test_one_that_was_removed_while_its_endpoint_was_full_gives_its_turn_to_the_next() -> None:
    lanes = filled(1, "Xa5-1", "Xb5-1", "Xc5-1")
    assert pop_all(lanes) == ["Xa5-1"]
    remove(lanes, "Xb5-1")
    lanes.done("X")
    assert pop_all(lanes) == ["Xc5-1"]


def test_an_endpoint_that_is_idle_takes_no_memory() -> None:
    lanes = filled(1, "Xa5", "Xb5")
    assert lanes.pop() == "Xa5"
    lanes.done("X")
    assert lanes.pop() == "Xb5"
    lanes.done("X")
    assert not lanes._lanes


PUSHES = st.tuples(st.sampled_from("XYZ"), st.sampled_from("ab"), st.sampled_from("159")).map("".join)


@given(st.lists(st.one_of(PUSHES, st.just("pop"), st.just("done"), st.just("remove"))), st.integers(1, 3))
def test_nothing_is_lost_and_no_endpoint_exceeds_its_bound(steps: list[str], most_active: int) -> None:
    lanes: Lanes[str] = Lanes(most_active)
    out: list[str] = []
    waiting: list[str] = []
    for step in steps:
        if step == "pop":
            item = lanes.pop()
            if item is None:
                assert all(sum(one[0] == item[0] for one in out) >= most_active for item in waiting)
            else:
                out.append(item)
                waiting.remove(item)
        elif step == "remove":
            if waiting:
                remove(lanes, waiting.pop(len(waiting) // 2))
        elif step == "done":
            if out:
                lanes.done(out.pop(0)[0])
        else:
            push(lanes, step)
            waiting.append(step)
        assert all(sum(one[0] == endpoint for one in out) <= most_active for endpoint in "XYZ")
        assert len(lanes) == len(waiting)
    while out or waiting:
        for item in pop_all(lanes):
            out.append(item)
            waiting.remove(item)
        if out:
            lanes.done(out.pop(0)[0])
    assert lanes.pop() is None
    assert not lanes._lanes
