"""Trace context: parsing, continuing, and the context of an execution."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context

from libs import telemetry

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "text",
    [
        PARENT,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later-versions-add-fields",
    ],
)
def test_a_traceparent_is_understood(text: str) -> None:
    context = telemetry.parse_traceparent(text)
    assert context is not None
    assert telemetry.format_traceparent(context)[3:55] == text[3:55]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        PARENT + "\n",
        "00-٤bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_what_is_no_traceparent_is_ignored(text: str) -> None:
    assert telemetry.parse_traceparent(text) is None


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    telemetry.parse_traceparent(text)


def test_the_trace_of_an_execution_is_its_id() -> None:
    execution = uuid4()
    header = telemetry.execution_traceparent(str(execution), sampled=True)
    context = telemetry.parse_traceparent(header)
    assert context is not None
    assert context.trace_id == execution.int
    assert context.trace_flags.sampled
    assert header == telemetry.execution_traceparent(str(execution), sampled=True)


def test_an_execution_id_that_is_no_uuid_has_no_trace() -> None:
    with pytest.raises(ValueError):
        telemetry.execution_traceparent("e-1", sampled=False)


def test_without_a_collector_the_parent_is_passed_on_and_nothing_is_sampled() -> None:
    assert telemetry.traceparent() == ""
    with telemetry.span("deliver", parent=PARENT, attributes={"job": "a"}) as span:
        assert telemetry.traceparent() == PARENT
        assert not span.is_recording()
        with telemetry.span("attempt"):
            assert telemetry.traceparent() == PARENT
    assert telemetry.traceparent() == ""
    assert not telemetry.is_sampled(str(uuid4()))


def test_without_collector_and_parent_there_is_no_context() -> None:
    with telemetry.span("deliver", parent="garbage"):
        assert telemetry.traceparent() == ""


def test_a_span_does_not_swallow_errors() -> None:
    with pytest.raises(KeyError), telemetry.span("deliver", parent=PARENT):
        raise KeyError("x")


def test_an_incoming_context_is_adopted_and_a_bad_one_ignored() -> None:
    token = otel_context.attach(otel_context.Context())
    try:
        assert telemetry.adopt("garbage") == ""
        assert telemetry.adopt(PARENT) == PARENT
        assert telemetry.traceparent() == PARENT
    finally:
        otel_context.detach(token)
