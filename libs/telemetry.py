"""Traces: W3C trace context in and out of every hop, and spans that are exported when a collector is configured."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagate import set_global_textmap
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags
from opentelemetry.trace import SpanKind as SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
TRACER = "chronos"
FLUSH_MILLISECONDS = 2_000


@dataclass(slots=True)
class _Export:
    """What `configure` decided, for the whole process."""

    is_on: bool = False
    sample_ratio: float = 0.0
    shutdown: Callable[[], None] | None = None


_export = _Export()


def configure(service: str, replica: str, otlp_endpoint: str, sample_ratio: float) -> None:
    """Sends spans to the collector at `otlp_endpoint`; without one, spans are not made and contexts still travel.

    `sample_ratio` decides for traces that begin here; a trace that arrives keeps its own decision.
    """
    set_global_textmap(TraceContextTextMapPropagator())
    if otlp_endpoint:
        _start_export(service, replica, otlp_endpoint, sample_ratio)


def shutdown() -> None:
    """Sends what is left, for at most two seconds."""
    if _export.shutdown is not None:
        _export.shutdown()
        _export.shutdown = None
        _export.is_on = False


def is_exporting() -> bool:
    """Whether spans go anywhere."""
    return _export.is_on


def parse_traceparent(text: str) -> SpanContext | None:
    """The context in a W3C `traceparent` header, None when it is not one (which is no error: begin a new trace)."""
    match = TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    context = SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16) & 1)
    )
    return context if context.is_valid else None


def format_traceparent(context: SpanContext) -> str:
    """The W3C `traceparent` header of a context, empty when it is not valid."""
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def traceparent() -> str:
    """The W3C `traceparent` header of the current span, empty outside of any trace."""
    return format_traceparent(trace.get_current_span().get_span_context())


def execution_traceparent(execution_id: str, sampled: bool) -> str:
    """The root context of an execution: its trace id is the execution's UUID, so a trace is found by the execution.

    The same id gives the same context, in every process and after a take-over.
    """
    number = UUID(execution_id).int
    return f"00-{number:032x}-{number & 0xFFFF_FFFF_FFFF_FFFF:016x}-{int(sampled):02x}"


def is_sampled(execution_id: str) -> bool:
    """Whether the trace of an execution is exported: the same answer in every process with the same settings."""
    if not _export.is_on:
        return False
    return (UUID(execution_id).int & 0xFF_FFFF_FFFF_FFFF) < _export.sample_ratio * (1 << 56)


def adopt(parent: str) -> str:
    """Makes the context in a `traceparent` header the current one for the rest of this task, unless a span is current.

    Gives the header of the context that is current then. A header that is no context changes nothing.
    """
    if _export.is_on and (current := traceparent()):
        return current
    context = parse_traceparent(parent) if parent else None
    if context is None:
        return ""
    otel_context.attach(trace.set_span_in_context(NonRecordingSpan(context)))
    return format_traceparent(context)


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """A span around a block, child of `parent` (a `traceparent` header) or else of the current span.

    Where nothing is exported, or the parent is not sampled, it only makes the parent's context the current one.
    """
    context = parse_traceparent(parent) if parent else None
    if not _export.is_on or (context is not None and not context.trace_flags.sampled):
        if context is None:
            yield trace.get_current_span()
            return
        with trace.use_span(NonRecordingSpan(context), record_exception=False, set_status_on_exception=False) as inert:
            yield inert
        return
    start = None if context is None else trace.set_span_in_context(NonRecordingSpan(context), otel_context.Context())
    tracer = trace.get_tracer(TRACER)
    with tracer.start_as_current_span(name, context=start, kind=kind, attributes=attributes) as recording:
        yield recording


def _start_export(service: str, replica: str, endpoint: str, sample_ratio: float) -> None:
    # Imported here because they cost start-up time and memory that a process without a collector need not pay.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    resource = Resource.create(
        {"service.namespace": "chronos", "service.name": f"chronos-{service}", "service.instance.id": replica}
    )
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)), resource=resource, shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=2)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    def stop() -> None:
        provider.force_flush(FLUSH_MILLISECONDS)
        provider.shutdown()

    _export.is_on, _export.sample_ratio, _export.shutdown = True, sample_ratio, stop
