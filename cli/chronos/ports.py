"""Which local port each process of a mesh listens on. Everything follows from the port base.

base: edge · +1: Envoy's admin · +10+2i, +11+2i: etcd member i (clients, peers) · +90: the demo's receiver · +100+2i:
scheduler · +200+2i: dispatcher · +300+2i: history (gRPC, then metrics) · +400+3i: gateway (gRPC, metrics, HTTP) ·
+500+2i: policy.
"""

import socket
from collections.abc import Iterable, Mapping

from cli.chronos.errors import MISUSED, MeshError

HOST = "127.0.0.1"
DEFAULT_BASE = 8080
LAST_OFFSET = 599
RECEIVER_OFFSET = 90

ETCD = "etcd"
ENVOY = "envoy"
HISTORY = "history"
DISPATCHER = "dispatcher"
SCHEDULER = "scheduler"
GATEWAY = "gateway"
POLICY = "policy"
SERVICES = (HISTORY, POLICY, DISPATCHER, SCHEDULER, GATEWAY)

_OFFSETS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    ENVOY: (0, ("edge", "admin")),
    ETCD: (10, ("client", "peer")),
    SCHEDULER: (100, ("grpc", "metrics")),
    DISPATCHER: (200, ("grpc", "metrics")),
    HISTORY: (300, ("grpc", "metrics")),
    GATEWAY: (400, ("grpc", "metrics", "http")),
    POLICY: (500, ("grpc", "metrics")),
}


def ports_of(name: str, replica: int, base: int) -> dict[str, int]:
    """The ports of one replica by what they serve."""
    offset, uses = _OFFSETS[name]
    first = base + offset + replica * len(uses)
    return {use: first + place for place, use in enumerate(uses)}


def most_replicas(service: str) -> int:
    """How many replicas of a service have ports of their own."""
    return 100 // len(_OFFSETS[service][1])


def check_base(base: int) -> None:
    """Raises MeshError unless all ports above `base` exist."""
    if not 1024 <= base <= 65535 - LAST_OFFSET:
        raise MeshError(f"--port-base {base}: must be from 1024 to {65535 - LAST_OFFSET}", exit_code=MISUSED)


def address(port: int) -> str:
    """`host:port` on this machine."""
    return f"{HOST}:{port}"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def busy_ports(wanted: Iterable[tuple[str, Mapping[str, int]]]) -> list[str]:
    """The ports that something listens on already, each with the process that wants it."""
    return [
        f"{port} ({replica}, {use})" for replica, ports in wanted for use, port in ports.items() if not is_free(port)
    ]


def check_free(wanted: Iterable[tuple[str, Mapping[str, int]]]) -> None:
    """Raises MeshError that names the ports in use and the process that wanted each."""
    busy = busy_ports(wanted)
    if busy:
        shown = ", ".join(busy[:4]) + (f" and {len(busy) - 4} more" if len(busy) > 4 else "")
        noun = "port is" if len(busy) == 1 else "ports are"
        raise MeshError(f"{noun} in use: {shown}; stop what listens there, or pass another --port-base")
