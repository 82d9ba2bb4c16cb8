from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.lanes import Lanes


def pop_all(lanes: Lanes[str]) -> list[str]:
    items = []
    while (item := lanes.pop()) is not None:
        items.append(item)
    return items


def test_lanes_take_turns_and_each_keeps_its_order() -> None:
    lanes: Lanes[str] = Lanes(most_active=10)
    for item in ("a1", "a2", "a3", "b1", "b2"):
        lanes.push(item[0], item)
    assert pop_all(lanes) == ["a1", "b1", "a2", "b2", "a3"]


def test_a_full_lane_waits_until_something_is_done() -> None:
    lanes: Lanes[str] = Lanes(most_active=2)
    for item in ("a1", "a2", "a3", "b1"):
        lanes.push(item[0], item)
    assert pop_all(lanes) == ["a1", "b1", "a2"]
    assert len(lanes) == 1
    lanes.done("b")
    assert lanes.pop() is None
    lanes.done("a")
    assert lanes.pop() == "a3"


def test_taking_all_leaves_nothing_waiting_and_what_is_out_can_still_be_done() -> None:
    lanes: Lanes[str] = Lanes(most_active=1)
    for item in ("a1", "a2", "b1"):
        lanes.push(item[0], item)
    assert lanes.pop() == "a1"
    assert lanes.take_all() == ["a2", "b1"]
    assert len(lanes) == 0
    assert lanes.pop() is None
    lanes.done("a")
    lanes.push("a", "a4")
    assert lanes.pop() == "a4"


@given(st.lists(st.one_of(st.sampled_from("abc"), st.just("pop"), st.just("done"))), st.integers(1, 3))
def test_nothing_is_lost_and_no_lane_exceeds_its_bound(steps: list[str], most_active: int) -> None:
    lanes: Lanes[str] = Lanes(most_active=most_active)
    out: list[str] = []
    pushed = popped = 0
    for step in steps:
        if step == "pop":
            item = lanes.pop()
            if item is None:
                assert all(out.count(key) >= most_active for key in "abc" if key in waiting(lanes))
            else:
                popped += 1
                out.append(item)
        elif step == "done":
            if out:
                lanes.done(out.pop(0))
        else:
            lanes.push(step, step)
            pushed += 1
        assert all(out.count(key) <= most_active for key in "abc")
        assert len(lanes) == pushed - popped
    while out or len(lanes):
        while (item := lanes.pop()) is not None:
            popped += 1
            out.append(item)
        lanes.done(out.pop(0))
    assert popped == pushed


def waiting(lanes: Lanes[str]) -> set[str]:
    return {key for key, lane in lanes._lanes.items() if lane.waiting}
