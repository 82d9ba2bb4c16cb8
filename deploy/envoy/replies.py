"""The errors that Envoy itself answers, in the shape of every other error."""

from dataclasses import dataclass

# Statuses that the strict check of JSON bodies answers with (services/gateway): its body is passed on.
STRICT_STATUSES = (400, 415)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What stands in the body beside an HTTP status. `code` is a gRPC code; no message keeps Envoy's own."""

    status: int
    code: int
    message: str = ""


REPLIES = (
    Reply(status=400, code=3),
    Reply(status=403, code=7),
    Reply(status=404, code=5, message="there is nothing at this path; /openapi.json lists every path"),
    Reply(status=405, code=12, message="this path does not take that method; the Allow header lists those it takes"),
    Reply(status=408, code=4, message="the request did not arrive in time; send it again"),
    Reply(status=413, code=8, message="the request is larger than the edge takes"),
    Reply(status=415, code=3),
    Reply(status=426, code=12, message="this version of HTTP is not spoken here; use HTTP/1.1 or HTTP/2"),
    Reply(status=429, code=8, message="too many requests; wait as long as the Retry-After header says"),
    Reply(status=431, code=8, message="the request headers are larger than the edge takes"),
    Reply(status=500, code=13, message="the edge could not make sense of the answer of a service"),
    Reply(status=501, code=12),
    Reply(status=502, code=14, message="a service broke off while it answered; try again"),
    Reply(status=503, code=14, message="the service that answers this cannot be reached now; try again"),
    Reply(status=504, code=4, message="the service did not answer in time"),
)
