"""The unary gRPC call of an execution."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from libs.host_ports import join_host_port
from libs.redaction import MASK
from services.dispatcher.domain.cloud_events import HeaderStyle
from services.dispatcher.domain.contract import Contract, is_own
from services.dispatcher.domain.facts import Facts, Text, compile_text
from services.dispatcher.domain.outcome import Verdict
from services.dispatcher.domain.results import Result
from services.dispatcher.domain.targets.grpc_codes import RETRYABLE_CODES, judge
from services.dispatcher.domain.targets.plan import Shown
from services.dispatcher.domain.targets.shown import show
from services.dispatcher.domain.targets.tls import Tls

PROTOBUF = "application/protobuf"
BINARY_SUFFIX = "-bin"
# They belong to the connection or to gRPC itself: a call that sets them would not go out.
CONNECTION_NAMES = frozenset({"connection", "content-type", "host", "te", "user-agent"})
GRPC_PREFIX = "grpc-"
# They hold credentials.
SECRET_NAMES = frozenset({"authorization", "cookie", "proxy-authorization"})
# Types that are kept weigh about so much more than the descriptors that they come from.
TYPES_FACTOR = 8

Metadata = tuple[tuple[str, str | bytes], ...]


class Types(Protocol):
    """What a method takes and gives."""

    def encode(self, payload: bytes) -> bytes:
        """The request that JSON means. Raises ValueError that says where it is wrong."""

    def decode(self, answer: bytes) -> str:
        """The answer as JSON. Raises ValueError when it is of another type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcServer:
    """Where to connect, and how; no `tls` means plaintext. Equal values share connections."""

    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcMethod:
    """What to call. Equal values share types that the server describes, since it may describe others to others."""

    server: GrpcServer
    path: str
    metadata: Metadata = field(default=(), repr=False)

    @property
    def service(self) -> str:
        """Full name of its service."""
        return self.path.split("/")[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcCall:
    """The call as the job describes it: `payload` is JSON unless there is a `raw_payload`.

    `types` are those of the job; None means that the server is asked, or that none are needed. No `retryable_codes`
    mean the usual ones.
    """

    method: GrpcMethod
    payload: str = field(default="", repr=False)
    raw_payload: bytes = field(default=b"", repr=False)
    types: Types | None = field(default=None, repr=False)
    types_weight: int = 0
    retryable_codes: Set[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcRequest:
    """One call. It can be signed only once its type has made bytes of `payload`, so the sender asks for `metadata`."""

    method: GrpcMethod
    payload: bytes = field(repr=False)
    is_raw: bool = False
    types: Types | None = field(default=None, repr=False)
    facts: Facts
    contract: Contract
    timeout: timedelta

    @property
    def traits(self) -> Mapping[str, str | int]:
        """See Request."""
        server = self.method.server
        return {
            "rpc.system": "grpc",
            "rpc.service": self.method.service,
            "rpc.method": self.method.path.rpartition("/")[2],
            "server.address": server.host,
            "server.port": server.port,
        }

    def metadata(self, encoded: bytes) -> Metadata:
        """What goes along with the request as it is on the wire."""
        dressed = self.contract.dress(self.facts, encoded, PROTOBUF, HeaderStyle.GRPC)
        own = dressed.headers
        return (*((name, value) for name, value in self.method.metadata if name not in own), *own.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcPlan:
    """What all calls of one version of a job share. See TargetPlan."""

    call: GrpcCall
    payload: Text | None = field(repr=False)
    timeout: timedelta
    contract: Contract

    @property
    def endpoint(self) -> str:
        """See TargetPlan."""
        return str(self.call.method.server).lower()

    @property
    def weight(self) -> int:
        """See TargetPlan."""
        call, tls = self.call, self.call.method.server.tls
        metadata = sum(len(name) + len(value) for name, value in call.method.metadata)
        weight = 2 * len(call.payload) + len(call.raw_payload) + TYPES_FACTOR * call.types_weight + metadata
        return weight + (tls.weight if tls is not None else 0)

    @property
    def shown(self) -> Shown:
        """See TargetPlan."""
        method = self.call.method
        scheme = "grpcs" if method.server.tls is not None else "grpc"
        headers = {name: MASK if name in SECRET_NAMES else _text(value) for name, value in method.metadata}
        body = self.call.payload or (f"{len(self.call.raw_payload):,} bytes" if self.call.raw_payload else "")
        shown = show(self.contract, HeaderStyle.GRPC, headers, body)
        return Shown(
            method="CALL", url=f"{scheme}://{method.server}{method.path}", headers=shown.headers, body=shown.body
        )

    def request(self, facts: Facts) -> GrpcRequest:
        """See TargetPlan."""
        return GrpcRequest(
            method=self.call.method,
            payload=self.payload.fill(facts) if self.payload is not None else self.call.raw_payload,
            is_raw=bool(self.call.raw_payload),
            types=self.call.types,
            facts=facts,
            contract=self.contract,
            timeout=self.timeout,
        )

    def judge(self, result: Result) -> Verdict:
        """See TargetPlan."""
        return judge(result, self.call.retryable_codes or RETRYABLE_CODES)


def compile_grpc(call: GrpcCall, *, timeout: timedelta, contract: Contract) -> GrpcPlan:
    """What all calls of this job share."""
    payload = compile_text(call.payload, is_json=True) if call.payload and not call.raw_payload else None
    return GrpcPlan(call=call, payload=payload, timeout=timeout, contract=contract)


def is_reserved(name: str) -> bool:
    """Whether metadata of that name is not the job's to set."""
    lower = name.lower()
    return is_own(lower) or lower in CONNECTION_NAMES or lower.startswith((GRPC_PREFIX, ":"))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else f"{len(value):,} bytes"
