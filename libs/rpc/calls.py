"""The one interceptor: each call gets a context, is checked, counted and logged, and ends in a status that explains."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import TracebackType
from typing import Any
from uuid import uuid4

import grpc
import structlog
from google.rpc import status_pb2

from libs import telemetry
from libs.clock import Clock
from libs.faults import InvalidArgument, Unavailable
from libs.log import get_logger
from libs.rpc import faults, validation
from libs.rpc.access_log import AccessLog, code_of
from libs.rpc.auth import Gate, last_values
from libs.rpc.context import RequestContext, enter
from libs.rpc.handlers import MALFORMED, Behaviour, Context, Handler, behaviour_of, malformed, rebuilt, unary, written
from libs.rpc.methods import Method
from libs.rpc.streams import OpenStreams

REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

CODES = {code.value[0]: code for code in grpc.StatusCode}

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is the same for every call of a server. A unary call without a deadline gets `default_deadline`."""

    gate: Gate
    clock: Clock
    streams: OpenStreams
    default_deadline: timedelta = timedelta(seconds=30)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of the given methods; other services (health, reflection) are only ended by a drain."""

    def __init__(self, methods: Mapping[str, Method], rules: Rules) -> None:
        self._rules = rules
        self._logs = {path: AccessLog(method=method) for path, method in methods.items()}
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The wrapped handler of a call. Handlers do not change while a server runs, so each is wrapped once."""
        path = handler_call_details.method
        wrapped = self._wrapped.get(path)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:  # unknown method: gRPC answers UNIMPLEMENTED
                return None
            wrapped = self._wrapped[path] = self._wrap(path, handler)
        return wrapped

    def _wrap(self, path: str, handler: Handler) -> Handler:
        behaviour, log = behaviour_of(handler), self._logs.get(path)
        if log is None:
            behaviour = written(behaviour) if handler.response_streaming else unary(behaviour)
            return rebuilt(handler, _unchecked(behaviour, self._rules.streams))
        if handler.response_streaming:
            return rebuilt(handler, _stream(written(behaviour), log, self._rules))
        return rebuilt(handler, _unary(unary(behaviour), log, self._rules))


def _unary(behaviour: Behaviour, log: AccessLog, rules: Rules) -> Behaviour:
    async def answer(request: Any, context: Context) -> Any:
        async with _Call(log, rules, context) as call:
            limit = rules.default_deadline if context.time_remaining() is None else None
            async with call.limited(limit):
                call.admit(request)
                return await behaviour(request, context)

    return answer


def _stream(behaviour: Behaviour, log: AccessLog, rules: Rules) -> Behaviour:
    async def answer(request: Any, context: Context) -> None:
        async with _Call(log, rules, context) as call, call.limited(None) as limit:
            with rules.streams.opened(limit):
                call.admit(request)
                log.opened(call.context)
                await behaviour(request, context)

    return answer


def _unchecked(behaviour: Behaviour, streams: OpenStreams) -> Behaviour:
    async def answer(request: Any, context: Context) -> Any:
        try:
            async with asyncio.timeout(None) as limit:
                with streams.opened(limit):
                    if request is MALFORMED:
                        raise malformed()
                    return await behaviour(request, context)
        except InvalidArgument as fault:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, fault.message)
        except TimeoutError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this server is shutting down")

    return answer


class _Call:
    """One call from its first byte to its status."""

    __slots__ = ("_begun", "_grpc", "_limit", "_log", "_metadata", "_request_id", "_rules", "_seconds", "context")

    def __init__(self, log: AccessLog, rules: Rules, context: Context) -> None:
        self._log, self._rules, self._grpc = log, rules, context
        self._begun = rules.clock.monotonic()
        self._limit: asyncio.Timeout | None = None
        self._seconds = 0.0
        self._metadata = last_values(context.invocation_metadata() or ())
        self._request_id = _request_id(self._metadata)
        self.context = RequestContext(request_id=self._request_id, method=log.method.path, peer=context.peer())

    async def __aenter__(self) -> "_Call":
        structlog.contextvars.bind_contextvars(request_id=self._request_id)
        self._grpc.set_trailing_metadata(((REQUEST_ID, self._request_id),))
        return self

    def limited(self, span: timedelta | None) -> asyncio.Timeout:
        """Bounds the block; for streams, which have no bound of their own, a drain ends it."""
        self._seconds = span.total_seconds() if span else 0.0
        self._limit = asyncio.timeout(self._seconds or None)
        return self._limit

    def admit(self, request: Any) -> None:
        """Checks caller and request, and makes the call's context the current one. Raises the faults of both."""
        method = self._log.method
        header = self._metadata.get(TRACEPARENT)
        traceparent = telemetry.adopt(header if isinstance(header, str) else "")
        principal = self._rules.gate.identify(method, self._metadata)
        if request is MALFORMED:
            raise malformed()
        namespace = "" if method.has_request_stream else self._rules.gate.namespace(method, principal, request)
        self.context = replace(self.context, principal=principal, namespace=namespace, traceparent=traceparent)
        if not method.has_request_stream:
            validation.check(request, method.body_field)
        enter(self.context)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            self._ended("CANCELLED")
        elif error is None or isinstance(error, grpc.aio.AbortError) or not isinstance(error, Exception):
            self._ended(code_of(self._grpc))
        else:
            status = self._explain(error)
            code = CODES[status.code]
            self._ended(code.name)
            trailers = ((REQUEST_ID, self._request_id), *faults.trailers_of(status))
            await self._grpc.abort(code, status.message, trailers)

    def _explain(self, error: Exception) -> status_pb2.Status:
        if self._limit is not None and self._limit.expired():
            if self._seconds:
                return faults.deadline_status(self._request_id, self._seconds)
            error = Unavailable("this server is shutting down; call again to go on elsewhere", reason="DRAINING")
        fault = faults.known_fault(error)
        if fault is None:
            logger.error("call broke", method=self._log.method.path, exc_info=error)
            return faults.internal_status(self._request_id)
        return faults.status_of(fault, self._request_id)

    def _ended(self, code: str) -> None:
        self._log.ended(self.context, code, self._rules.clock.monotonic() - self._begun)


def _request_id(metadata: dict[str, str | bytes]) -> str:
    given = metadata.get(REQUEST_ID)
    if isinstance(given, str) and REQUEST_ID_PATTERN.fullmatch(given):
        return given
    return str(uuid4())
