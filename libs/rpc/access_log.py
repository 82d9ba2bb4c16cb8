"""One log line and two metrics for every call."""

from dataclasses import dataclass, field
from typing import Any

import grpc
from prometheus_client import Counter, Histogram

from libs import metrics
from libs.log import get_logger
from libs.rpc.context import RequestContext
from libs.rpc.methods import Method

NAMES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}

logger = get_logger()


@dataclass(slots=True)
class AccessLog:
    """Counts and logs the calls of one method. Calls inside the mesh are logged at debug."""

    method: Method
    _seconds: Histogram = field(init=False)
    _calls: dict[str, Counter] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._seconds = metrics.RPC_SECONDS.labels(self.method.service, self.method.name)

    def opened(self, context: RequestContext) -> None:
        """A stream began."""
        logger.debug("stream opened", method=self.method.path, peer=context.peer)

    def ended(self, context: RequestContext, code: str, seconds: float) -> None:
        """A call ended with a gRPC code. Streams count as calls but not into the latencies."""
        calls = self._calls.get(code)
        if calls is None:
            calls = self._calls[code] = metrics.RPC_CALLS.labels(self.method.service, self.method.name, code)
        calls.inc()
        if not self.method.has_response_stream:
            self._seconds.observe(seconds)
        write = logger.debug if self.method.is_internal else logger.info
        write(
            "call answered",
            method=self.method.path,
            code=code,
            milliseconds=round(seconds * 1000, 2),
            principal=context.principal.id,
            namespace=context.namespace,
            peer=context.peer,
        )


def code_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The code that a handler set by itself, OK when it set none."""
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else NAMES.get(code or 0, "UNKNOWN")
