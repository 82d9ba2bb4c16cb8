import random
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs import telemetry
from services.dispatcher.attempts import Attempts
from services.dispatcher.breakers import Breakers
from services.dispatcher.convert import read_delivery
from services.dispatcher.convert_plans import read_plan
from services.dispatcher.domain.breaker import Rules
from services.dispatcher.domain.execution import begin_attempt, resume
from services.dispatcher.domain.results import Answer, Failure, FailureKind
from services.dispatcher.domain.targets.http_answers import judge
from services.dispatcher.held import Held
from services.dispatcher.streams import Outbox
from tests.deliveries import SCHEDULED, TRACE_ID, TRACEPARENT, make_delivery, make_job
from tests.fakes.clock import FakeClock
from tests.fakes.sender import FakeSender

SAMPLED = TRACEPARENT.removesuffix("00") + "01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("libs.telemetry.trace.get_tracer", provider.get_tracer)
    monkeypatch.setattr(telemetry._export, "is_on", True)
    return exporter


def make_held(traceparent: str) -> Held:
    message = make_delivery(make_job("http://example.com/"))
    message.traceparent = traceparent
    delivery = read_delivery(message, read_plan(message, user_agent="x", dispatcher="d"))
    progress = begin_attempt(resume(()), now=SCHEDULED)
    return Held(delivery=delivery, progress=progress, listener=Outbox(), creditor=None)


async def attempt(traceparent: str, result: Answer | Failure) -> str:
    """Makes an attempt and gives the trace context that the receiver sees."""
    sender = FakeSender(result)
    breakers = Breakers(Rules(), FakeClock(), limit=9, memory=timedelta(minutes=10))
    verdict = await Attempts(sender, breakers, random.Random(1)).make(make_held(traceparent))
    assert verdict == judge(result, frozenset())
    return sender.requests[0].headers["Traceparent"]


async def test_a_sampled_attempt_is_a_span_that_the_receiver_sees(spans: InMemorySpanExporter) -> None:
    seen = await attempt(SAMPLED, Answer(status_code=503))
    (span,) = spans.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert seen == f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
    assert f"{span.parent.span_id:016x}" == SAMPLED.split("-")[2]
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 503
    assert span.attributes["chronos.job.id"] == "report"


async def test_the_span_of_an_attempt_without_an_answer_says_why(spans: InMemorySpanExporter) -> None:
    await attempt(SAMPLED, Failure(kind=FailureKind.TIMEOUT, error="timed out after 5s"))
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "timeout"


async def test_an_attempt_that_is_not_sampled_makes_no_span(spans: InMemorySpanExporter) -> None:
    seen = await attempt(TRACEPARENT, Answer(status_code=200))
    assert spans.get_finished_spans() == ()
    assert seen.startswith(f"00-{TRACE_ID}-")
    assert seen.endswith("-00")
    assert seen != TRACEPARENT
