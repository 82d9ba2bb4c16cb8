"""What the edge's configuration depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from libs.contract import RateClass

DESCRIPTOR_FILE = Path(__file__).resolve().parents[2] / "gen" / "chronos.binpb"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A token bucket: `per_second` in the long run, at most `burst` at once."""

    per_second: int
    burst: int

    def __post_init__(self) -> None:
        if not 1 <= self.per_second <= self.burst:
            raise ValueError(f"rate limit {self.per_second}/s, burst {self.burst}: must be 1 <= per second <= burst")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files on Envoy's machine, which shows this certificate."""

    cert_file: str
    key_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshTls(TlsFiles):
    """As TlsFiles, and the authority that the services' certificates must be signed by."""

    ca_file: str


# Per client. The API is meant for programs; these bounds stop a loop gone wild, not honest use.
DEFAULT_LIMITS: Mapping[RateClass, RateLimit] = {
    RateClass.READ: RateLimit(per_second=500, burst=1000),
    RateClass.WRITE: RateLimit(per_second=500, burst=1000),
    RateClass.TRIGGER: RateLimit(per_second=100, burst=200),
}
DEFAULT_ADDRESS_LIMIT = RateLimit(per_second=5000, burst=10000)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeTopology:
    """Where everything is, and the edge's bounds. Addresses are `host:port`, `[::1]:port` for IPv6.

    `services` gives the gRPC addresses of each Chronos service that has public RPCs: scheduler, dispatcher, history,
    gateway, policy.
    `is_dns` reads the hosts as DNS names, each of which may stand for many replicas (a headless service).
    """

    descriptor_set: bytes = field(repr=False)
    services: Mapping[str, Sequence[str]]
    gateway_http: Sequence[str]
    listen: str = "127.0.0.1:8080"
    admin: str = "127.0.0.1:8081"
    is_dns: bool = False
    # What the edge shows to callers; None: plaintext.
    tls: TlsFiles | None = None
    # What the edge shows to the services, where their gRPC servers speak TLS. The gateway's HTTP port is plaintext.
    mesh_tls: MeshTls | None = None
    limits: Mapping[RateClass, RateLimit] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    # All requests of one address together, so that making up keys does not get around the limit per key.
    address_limit: RateLimit = DEFAULT_ADDRESS_LIMIT
    # Buckets kept, the least recently used forgotten first.
    max_clients: int = 10_000
    max_body_bytes: int = 1024 * 1024
    max_response_bytes: int = 16 * 1024 * 1024
    max_header_kib: int = 32
    max_connections: int = 20_000
    unary_timeout: timedelta = timedelta(seconds=30)
    # A stream on which nothing moves for so long is cut; the services send something at least every 15 s.
    stream_idle_timeout: timedelta = timedelta(seconds=60)
    # Browser origins that may call, exact (`https://ui.example.com`). Empty: no CORS headers at all.
    cors_origins: tuple[str, ...] = ()
    # Proxies before the edge that may be believed about the client's address (X-Forwarded-For).
    trusted_hops: int = 0
    # `host:port` of an OTLP/gRPC collector; empty: no traces from the edge.
    otlp_endpoint: str = ""
    trace_sample_ratio: float = 0.01
