"""Structured logs: one JSON object a line on stderr, constant lower-case messages, data in fields."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

Logger = structlog.typing.FilteringBoundLogger
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
ENCODER = json.JSONEncoder(default=str, ensure_ascii=False)
MOST_ERRORS = 10
DEEPEST_STACK = 20


def configure(level: str, service: str, replica: str) -> None:
    """Sends this process's logs, those of libraries included, to stderr from `level` on."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _origin(service, replica),
        _add_trace,
        describe_errors,
    ]
    render = structlog.processors.JSONRenderer(serializer=lambda event, **_: ENCODER.encode(event))
    structlog.configure(
        processors=[*shared, structlog.processors.EventRenamer("message"), render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                render,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(LEVELS[level], logging.INFO), force=True)
    logging.captureWarnings(True)


def get_logger() -> Logger:
    """A logger; cheap, for module scope."""
    logger: Logger = structlog.get_logger()
    return logger


def describe_errors(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Puts `errors` in the place of `exc_info`: each error with its stack, those of an ExceptionGroup side by side."""
    del logger, method
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exception()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["errors"] = [_described(leaf) for leaf in _leaves(error)][:MOST_ERRORS]
    return event


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _described(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-DEEPEST_STACK:]
    described: dict[str, Any] = {
        "type": type(error).__name__,
        "message": str(error),
        "stack": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        described["cause"] = f"{type(cause).__name__}: {cause}"
    return described


def _origin(service: str, replica: str) -> structlog.typing.Processor:
    def add(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        del logger, method
        event["service"] = service
        event["replica"] = replica
        return event

    return add


def _add_trace(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    del logger, method
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event
