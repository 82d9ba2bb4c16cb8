"""The command line of `python -m deploy.envoy.render`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.envoy.topology import (
    DEFAULT_ADDRESS_LIMIT,
    DEFAULT_LIMITS,
    DESCRIPTOR_FILE,
    EdgeTopology,
    MeshTls,
    RateLimit,
    TlsFiles,
)
from libs.contract import RateClass

# Where the services listen in Kubernetes, each behind a headless Service so that DNS gives every replica.
GRPC_PORT = 9000
HTTP_PORT = 9001
SERVICES = ("scheduler", "history", "gateway", "dispatcher", "policy")
IN_KUBERNETES = {name: [f"chronos-{name}:{GRPC_PORT}"] for name in SERVICES}


def parser() -> argparse.ArgumentParser:
    """What can be said on the command line."""
    made = argparse.ArgumentParser(
        prog="python -m deploy.envoy.render",
        description="Prints Envoy's configuration for the edge, as YAML. Without options: for Kubernetes, where the "
        f"hosts are DNS names (chronos-scheduler:{GRPC_PORT}, chronos-gateway:{HTTP_PORT}, …).",
    )
    add = made.add_argument
    add("--service", action="append", default=[], type=_service, metavar="NAME=HOST:PORT[,…]",
        help="gRPC addresses of a service")  # fmt: skip
    add("--gateway-http", type=_comma, default=[f"chronos-gateway:{HTTP_PORT}"], metavar="HOST:PORT[,…]")
    add("--static", action="store_true", help="the hosts are IP addresses, not DNS names")
    add("--listen", default="0.0.0.0:8080", metavar="HOST:PORT", help="the edge's one port (default: %(default)s)")
    add("--admin", default="127.0.0.1:8081", metavar="HOST:PORT", help="Envoy's admin page (default: %(default)s)")
    add("--cert", default="", metavar="FILE", help="PEM certificate to serve TLS with; needs --key")
    add("--key", default="", metavar="FILE", help="PEM private key")
    add("--mesh-cert", default="", metavar="FILE", help="PEM certificate to show to services that speak TLS")
    add("--mesh-key", default="", metavar="FILE", help="PEM private key of it")
    add("--mesh-ca", default="", metavar="FILE", help="PEM authority of the services' certificates")
    add("--cors-origin", action="append", default=[], metavar="URL", help="browser origin that may call")
    add("--limit", action="append", default=[], type=_limit, metavar="CLASS=RATE/BURST",
        help="per client: READ, WRITE or TRIGGER, requests a second / at once; ADDRESS: per address")  # fmt: skip
    add("--trusted-hops", type=int, default=0, metavar="N", help="proxies before the edge to believe about the client")
    add("--otlp", default="", metavar="HOST:PORT", help="OTLP/gRPC collector for the edge's traces")
    add("--descriptors", type=Path, default=DESCRIPTOR_FILE, metavar="FILE", help="default: gen/chronos.binpb")
    return made


def read_topology(argv: Sequence[str]) -> EdgeTopology:
    """The topology that the arguments describe. Exits with 2 after a message when they are wrong."""
    made = parser()
    given = made.parse_args(argv)
    if bool(given.cert) != bool(given.key):
        made.error("--cert and --key belong together")
    mesh_files = (given.mesh_cert, given.mesh_key, given.mesh_ca)
    if any(mesh_files) and not all(mesh_files):
        made.error("--mesh-cert, --mesh-key and --mesh-ca belong together")
    limits = dict(given.limit)
    address_limit = limits.pop("ADDRESS", DEFAULT_ADDRESS_LIMIT)
    return EdgeTopology(
        descriptor_set=given.descriptors.read_bytes(),
        services={**IN_KUBERNETES, **dict(given.service)},
        gateway_http=given.gateway_http,
        listen=given.listen,
        admin=given.admin,
        is_dns=not given.static,
        tls=TlsFiles(cert_file=given.cert, key_file=given.key) if given.cert else None,
        mesh_tls=_mesh_tls(*mesh_files) if all(mesh_files) else None,
        limits={**DEFAULT_LIMITS, **{RateClass(name): limit for name, limit in limits.items()}},
        address_limit=address_limit,
        cors_origins=tuple(given.cors_origin),
        trusted_hops=given.trusted_hops,
        otlp_endpoint=given.otlp,
    )


def _mesh_tls(cert: str, key: str, ca: str) -> MeshTls:
    return MeshTls(cert_file=cert, key_file=key, ca_file=ca)


def _comma(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pair(text: str, read: Callable[[str], object]) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: an equals sign is missing")
    return name, read(value)


def _service(text: str) -> tuple[str, object]:
    return _pair(text, _comma)


def _limit(text: str) -> tuple[str, object]:
    name, limit = _pair(text, _rate)
    if name not in {*RateClass, "ADDRESS"}:
        raise argparse.ArgumentTypeError(f"{name!r}: use READ, WRITE, TRIGGER or ADDRESS")
    return name, limit


def _rate(text: str) -> RateLimit:
    per_second, slash, burst = text.partition("/")
    if not (slash and per_second.isdecimal() and burst.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r}: write a rate as 100/200: a second, and at once")
    try:
        return RateLimit(per_second=int(per_second), burst=int(burst))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
