import random

from services.dispatcher.domain import trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EXECUTION = "018f2b6e-7a3c-4b5d-8e9f-0a1b2c3d4e5f"


def draw() -> random.Random:
    return random.Random(7)


def test_a_child_stays_in_its_trace_with_a_span_of_its_own() -> None:
    child = trace.child(PARENT, EXECUTION, draw().getrandbits)
    assert trace.trace_id(child) == trace.trace_id(PARENT) == "0af7651916cd43dd8448eb211c80319c"
    assert child.split("-")[2] != "b7ad6b7169203331"
    assert trace.is_sampled(child)


def test_without_a_valid_parent_the_execution_gives_the_trace_id() -> None:
    for parent in ("", "nonsense", PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)):
        child = trace.child(parent, EXECUTION, draw().getrandbits)
        assert trace.trace_id(child) == EXECUTION.replace("-", "")
        assert not trace.is_sampled(child)


def test_an_execution_id_that_is_no_uuid_still_gives_a_valid_context() -> None:
    assert trace.trace_id(trace.child("", "run-1", draw().getrandbits)) != ""


def test_an_invalid_context_has_no_trace_id() -> None:
    assert trace.trace_id("00-xyz") == ""
    assert not trace.is_sampled("00-xyz")
