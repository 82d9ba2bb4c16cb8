"""Makes Envoy's configuration from a topology and the contract: `python -m deploy.envoy.render --help`."""

import base64
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploy.envoy.arguments import read_topology
from deploy.envoy.replies import REPLIES, STRICT_STATUSES
from deploy.envoy.topology import EdgeTopology
from libs.contract import Contract, HttpRule, RateClass, Rpc, read_contract

# The gateway sends a ping every 20 s.
SOCKET_IDLE = timedelta(seconds=60)
GATEWAY_PATHS = ("/health", "/metrics", "/openapi.json")
CLIENT_HEADER = "x-chronos-client"
# DELETE as well: a body where none belongs is refused, not dropped.
CHECKED_VERBS = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A socket address."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Replicas that answer the same calls."""

    name: str
    addresses: tuple[Address, ...]
    is_grpc: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcRoute:
    """Where an RPC goes."""

    path: str
    cluster: str
    rate_class: RateClass
    is_read: bool
    is_stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRoute(GrpcRoute):
    """One REST spelling. The last one of a path has in `allow` the verbs that the path takes, for the 405."""

    pattern: str
    verb: str
    is_checked: bool
    allow: str


def render(topology: EdgeTopology) -> str:
    """Envoy's bootstrap configuration as YAML. Raises ValueError when the topology lacks a service."""
    contract = read_contract(topology.descriptor_set)
    owners = {rpc.owner for rpc in contract.public_rpcs}
    if missing := owners - set(topology.services):
        raise ValueError(f"no addresses for {', '.join(sorted(missing))}, whose RPCs are public")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    return environment.get_template("envoy.yaml.j2").render(**_variables(topology, contract, sorted(owners)))


def _variables(topology: EdgeTopology, contract: Contract, owners: list[str]) -> dict[str, Any]:
    grpc = [Cluster(name=name, addresses=_addresses(topology.services[name]), is_grpc=True) for name in owners]
    http = Cluster(name="gateway_http", addresses=_addresses(topology.gateway_http), is_grpc=False)
    return {
        "admin": parse_address(topology.admin),
        "listen": parse_address(topology.listen),
        "is_dns": topology.is_dns,
        "tls": topology.tls,
        "mesh_tls": topology.mesh_tls,
        "otlp": parse_address(topology.otlp_endpoint) if topology.otlp_endpoint else None,
        "trace_percent": topology.trace_sample_ratio * 100,
        "trusted_hops": topology.trusted_hops,
        "cors_origins": [{"exact": origin} for origin in topology.cors_origins],
        "client_header": CLIENT_HEADER,
        "class_limits": {name.value: topology.limits[name] for name in RateClass},
        "address_limit": topology.address_limit,
        "max_clients": topology.max_clients,
        "max_body_bytes": topology.max_body_bytes,
        "max_response_bytes": topology.max_response_bytes,
        # A buffered body has to fit whole, or the limit shows as the wrong error.
        "buffer_bytes": max(topology.max_body_bytes, 1024 * 1024) + 65536,
        "max_header_kib": topology.max_header_kib,
        "max_connections": topology.max_connections,
        "unary_seconds": topology.unary_timeout.total_seconds(),
        "stream_idle_seconds": topology.stream_idle_timeout.total_seconds(),
        "socket_idle_seconds": SOCKET_IDLE.total_seconds(),
        "strict_statuses": STRICT_STATUSES,
        "replies": [asdict(reply) for reply in REPLIES],
        "rest_routes": list(rest_routes(contract)),
        "grpc_routes": [GrpcRoute(**_destination(rpc)) for rpc in contract.public_rpcs],
        "gateway_paths": GATEWAY_PATHS,
        "rest_services": sorted({rpc.service for rpc in contract.public_rpcs}),
        "descriptors": base64.b64encode(without_comments(topology.descriptor_set)).decode(),
        "clusters": [*grpc, http],
    }


def rest_routes(contract: Contract) -> Iterator[RestRoute]:
    """Every REST spelling, in the order in which they must be tried."""
    for pattern, group in groupby(contract.rest_calls, key=lambda call: call[0].pattern):
        yield from _routes_of_path(pattern, list(group))


def _routes_of_path(pattern: str, bound: list[tuple[HttpRule, Rpc]]) -> Iterator[RestRoute]:
    verbs = ", ".join(rule.verb for rule, _ in bound)
    for index, (rule, rpc) in enumerate(bound):
        yield RestRoute(
            **_destination(rpc),
            pattern=pattern,
            verb=rule.verb,
            is_checked=rule.verb in CHECKED_VERBS,
            allow=verbs if index == len(bound) - 1 else "",
        )


def _destination(rpc: Rpc) -> dict[str, Any]:
    return {
        "path": rpc.path,
        "cluster": rpc.owner,
        "rate_class": rpc.rate_class,
        "is_read": rpc.rate_class is RateClass.READ,
        "is_stream": rpc.descriptor.server_streaming or rpc.descriptor.client_streaming,
    }


def without_comments(descriptor_set: bytes) -> bytes:
    """The descriptor set without source positions and comments, which the transcoder has no use for."""
    files = FileDescriptorSet.FromString(descriptor_set)
    for file in files.file:
        file.ClearField("source_code_info")
    return files.SerializeToString(deterministic=True)


def parse_address(text: str) -> Address:
    """Reads `host:port`; brackets around an IPv6 host are taken off. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is not host:port")
    return Address(host=host.removeprefix("[").removesuffix("]"), port=int(port))


def _addresses(texts: Iterable[str]) -> tuple[Address, ...]:
    return tuple(parse_address(text) for text in texts)


if __name__ == "__main__":
    sys.stdout.write(render(read_topology(sys.argv[1:])))
