"""The gateway's HTTP side: what Envoy asks about bodies, and what operators and tools ask for."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2  # noqa: F401 - the JSON of a status needs to know the types of its details
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from libs.faults import Fault, InvalidArgument, LimitReached, NotFound, Unavailable
from libs.rpc.faults import status_of
from services.gateway.cluster import Clusters
from services.gateway.domain.bodies import WRONG_MEDIA_TYPE, Bodies, BodyHeaders
from services.gateway.metrics_page import MetricsPage

STRICT_JSON = "/strict-json"
VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
# The edge lets less through; this holds for callers that come past it.
LARGEST_BODY_BYTES = 8 * 1024 * 1024
STATUSES: Mapping[type[Fault], HTTPStatus] = {
    InvalidArgument: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    LimitReached: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayHttp:
    """What the HTTP side answers from. `health_freshness` is how old the state behind `/health` may be.

    `serve_socket` has the conversation of one WebSocket.
    """

    bodies: Bodies
    clusters: Clusters
    metrics: MetricsPage
    openapi: bytes
    is_live: Callable[[], bool]
    serve_socket: Callable[[WebSocket], Awaitable[None]]
    health_freshness: timedelta

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route(STRICT_JSON + "/{path:path}", self.check_body, methods=VERBS),
                Route("/live", self.live),
                Route("/health", self.health),
                Route("/metrics", self.metrics_page),
                Route("/openapi.json", self.openapi_document),
                WebSocketRoute("/ws", self.serve_socket),
            ],
            exception_handlers={Fault: _refuse},
        )

    async def check_body(self, request: Request) -> Response:
        """200 when the body of the call at the path after `/strict-json` may go on, else why not."""
        body = await _read_body(request)
        path = bytes(request.scope["raw_path"]).decode("latin-1").partition("?")[0].removeprefix(STRICT_JSON)
        headers = BodyHeaders(
            content_type=request.headers.get("content-type", ""),
            content_encoding=request.headers.get("content-encoding", ""),
        )
        self.bodies.check(request.method, path, headers, body)
        return Response()

    async def live(self, request: Request) -> Response:
        """200 while this process takes requests; Envoy's health check of this very replica."""
        del request
        return Response(status_code=HTTPStatus.OK if self.is_live() else HTTPStatus.SERVICE_UNAVAILABLE)

    async def health(self, request: Request) -> Response:
        """200 while nothing is wrong with the cluster, else 503 with what is."""
        del request
        try:
            problems = list((await self.clusters.recent(self.health_freshness)).problems)
        except Unavailable as fault:
            problems = [f"etcd does not answer: {fault.message}"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return _json({"status": "unhealthy" if problems else "healthy", "problems": problems}, status)

    async def metrics_page(self, request: Request) -> Response:
        """The metrics of all replicas."""
        del request
        return PlainTextResponse(await self.metrics.render(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    async def openapi_document(self, request: Request) -> Response:
        """The OpenAPI document of the REST API."""
        del request
        return Response(self.openapi, media_type="application/json")


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY_BYTES:
            raise LimitReached(f"the body is larger than {LARGEST_BODY_BYTES} bytes", reason="BODY_TOO_LARGE")
    return bytes(body)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Fault)
    status = STATUSES.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if error.reason == WRONG_MEDIA_TYPE:
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    answer = status_of(error, request.headers.get("x-request-id", ""))
    return _json(MessageToDict(answer, preserving_proto_field_name=True), status)


def _json(content: object, status: HTTPStatus) -> Response:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status_code=status, media_type="application/json")
