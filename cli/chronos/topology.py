"""What a mesh consists of: processes, ports, commands and environments. Pure; starts nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.chronos.errors import MISUSED, MeshError
from cli.chronos.etcd_binary import EtcdBinary
from cli.chronos.ports import (
    DEFAULT_BASE,
    DISPATCHER,
    ENVOY,
    ETCD,
    GATEWAY,
    HISTORY,
    POLICY,
    SCHEDULER,
    SERVICES,
    address,
    check_base,
    most_replicas,
    ports_of,
)
from cli.chronos.state import Probe, ProbeKind
from libs.durations import parse_duration

DEFAULT_DATA_DIR = Path(".chronos")
RECEIVER = "receiver"
PEER_ADVERTISE = "peer_advertise"
"""`host:port` at which the other members of etcd reach one."""
STOP_ORDER = (ENVOY, GATEWAY, SCHEDULER, DISPATCHER, POLICY, HISTORY, RECEIVER, ETCD)
"""Who is stopped when: callers before those they call, so that everything under way can still be finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """`--set service.key=value`: one setting of every replica of a service (`*` for all), or of one (`scheduler-1`)."""

    service: str
    key: str
    value: str

    def counts_for(self, service: str, replica: str) -> bool:
        """Whether it is meant for a replica of a service."""
        return self.service in ("*", service, replica)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshOptions:
    """What a person asked for. `etcd_endpoints` that are not empty mean an etcd that runs already."""

    data_dir: Path
    port_base: int = DEFAULT_BASE
    etcd_members: int = 1
    etcd_endpoints: tuple[str, ...] = ()
    replicas: Mapping[str, int] = field(default_factory=dict)
    lease_ttl: str = "2s"
    overrides: tuple[Override, ...] = ()
    postgres_url: str = field(default="", repr=False)
    """Where the ledger is, with a password perhaps. Empty means a file in the data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process to keep running. `env` comes on top of the inherited environment and may hold secrets."""

    name: str
    replica: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: Mapping[str, int]
    probe: Probe


def parse_replicas(text: str) -> dict[str, int]:
    """Reads `scheduler=3,dispatcher=2`; one replica of every service that is not named."""
    counts = dict.fromkeys(SERVICES, 1)
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        service, _, count = part.partition("=")
        if service not in counts:
            raise MeshError(f"--replicas {part}: no such service; there are {', '.join(SERVICES)}", exit_code=MISUSED)
        most = most_replicas(service)
        if not count.isdecimal() or not 1 <= int(count) <= most:
            message = f"--replicas {part}: must be {service}=N with N from 1 to {most}"
            raise MeshError(message, exit_code=MISUSED)
        counts[service] = int(count)
    return counts


def parse_override(text: str) -> Override:
    """Reads `dispatcher.user_agent=Chronos`, `scheduler-1.log_level=debug` or `etcd-0.peer_advertise=10.0.0.1:2380`."""
    path, equals, value = text.partition("=")
    target, dot, key = path.partition(".")
    service, dash, number = target.partition("-")
    is_one = not dash or number.isdecimal()
    is_known = (
        target == "*"
        or (service in SERVICES and is_one)
        or (service == ETCD and dash and is_one and key == PEER_ADVERTISE)
    )
    if not (equals and dot and key and is_known):
        message = (
            f"--set {text}: must be SERVICE.KEY=VALUE; services are {', '.join(SERVICES)}, or * for all; "
            f"{SERVICES[0]}-0 is one replica; members of etcd only know {PEER_ADVERTISE}"
        )
        raise MeshError(message, exit_code=MISUSED)
    return Override(service=target, key=key, value=value)


def overridden(options: MeshOptions, service: str, replica: str, key: str, default: str) -> str:
    """What `--set` says about a setting of a replica; what says it last counts."""
    said = [item.value for item in options.overrides if item.key == key and item.counts_for(service, replica)]
    return said[-1] if said else default


def check(options: MeshOptions) -> None:
    """Raises MeshError for options that cannot be."""
    check_base(options.port_base)
    if options.etcd_members not in (1, 3):
        raise MeshError(f"--etcd {options.etcd_members}: must be 1 or 3 members", exit_code=MISUSED)
    try:
        parse_duration(options.lease_ttl)
    except ValueError as error:
        raise MeshError(f"--lease-ttl: {error}", exit_code=MISUSED) from error
    if options.postgres_url and not options.postgres_url.startswith(("postgresql://", "postgres://")):
        raise MeshError("--postgres: must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE", exit_code=MISUSED)
    for endpoint in options.etcd_endpoints:
        host, _, port = endpoint.rpartition(":")
        if not host or not port.isdecimal() or "/" in endpoint:
            raise MeshError(f"--etcd-endpoints {endpoint}: must be HOST:PORT, without http://", exit_code=MISUSED)


def etcd_endpoints(options: MeshOptions) -> tuple[str, ...]:
    """Where clients reach etcd."""
    if options.etcd_endpoints:
        return options.etcd_endpoints
    ports = [ports_of(ETCD, member, options.port_base) for member in range(options.etcd_members)]
    return tuple(address(port["client"]) for port in ports)


def wanted_ports(options: MeshOptions) -> list[tuple[str, dict[str, int]]]:
    """The ports of every process of the mesh, by replica."""
    counts = {ENVOY: 1, ETCD: 0 if options.etcd_endpoints else options.etcd_members}
    counts |= {service: options.replicas.get(service, 1) for service in SERVICES}
    return [
        (f"{name}-{index}", ports_of(name, index, options.port_base))
        for name, count in counts.items()
        for index in range(count)
    ]


def etcd_specs(options: MeshOptions, binary: EtcdBinary) -> list[ProcessSpec]:
    """The etcd members of the mesh itself: plaintext, on the loopback only, with data under `<data-dir>/etcd`."""
    plan = {f"etcd-{i}": ports_of(ETCD, i, options.port_base) for i in range(options.etcd_members)}
    peers = {
        replica: f"http://{overridden(options, ETCD, replica, PEER_ADVERTISE, address(ports['peer']))}"
        for replica, ports in plan.items()
    }
    return [_etcd_spec(options, binary, replica, ports, peers) for replica, ports in plan.items()]


def service_specs(
    options: MeshOptions, *, python: str, mesh_token: str, encryption_keys: str = ""
) -> list[ProcessSpec]:
    """Every replica of every service."""
    secrets = {service: {"mesh_token": mesh_token} for service in SERVICES}
    secrets[SCHEDULER]["encryption_keys"] = encryption_keys
    return [
        _service_spec(options, service, index, python=python, secrets=secrets[service])
        for service in SERVICES
        for index in range(options.replicas.get(service, 1))
    ]


def envoy_spec(options: MeshOptions, *, binary: str, config: Path) -> ProcessSpec:
    """The edge. It restarts like everything else, so Envoy's own hot restart (shared memory) stays off."""
    ports = ports_of(ENVOY, 0, options.port_base)
    flags = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning", "--drain-time-s", "1")
    return ProcessSpec(
        name=ENVOY,
        replica="envoy-0",
        command=(binary, "-c", str(config), *flags),
        ports=ports,
        probe=Probe(kind=ProbeKind.HTTP, address=address(ports["admin"]), path="/ready"),
    )


def _etcd_spec(
    options: MeshOptions, binary: EtcdBinary, replica: str, ports: Mapping[str, int], peers: Mapping[str, str]
) -> ProcessSpec:
    client, peer = f"http://{address(ports['client'])}", f"http://{address(ports['peer'])}"
    flags = {
        "name": replica,
        "data-dir": str(options.data_dir / "etcd" / replica),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peers[replica],
        "initial-cluster": ",".join(f"{name}={url}" for name, url in peers.items()),
        "initial-cluster-token": f"chronos-{options.port_base}",
        "initial-cluster-state": "new",  # read only by a member without data
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "10m",
        "quota-backend-bytes": str(2 * 1024**3),
        "logger": "zap",
        "log-level": "warn",
    }
    if options.etcd_members > 1:
        # On one machine a new leader can be found well within a lease of 2 s.
        flags |= {"heartbeat-interval": "50", "election-timeout": "500"}
    if binary.warning:
        flags["experimental-initial-corrupt-check"] = "true"
    return ProcessSpec(
        name=ETCD,
        replica=replica,
        command=(binary.path, *(f"--{name}={value}" for name, value in flags.items())),
        ports=ports,
        probe=Probe(kind=ProbeKind.HTTP, address=address(ports["client"]), path="/health"),
    )


def _service_spec(
    options: MeshOptions, service: str, index: int, *, python: str, secrets: Mapping[str, str]
) -> ProcessSpec:
    ports = ports_of(service, index, options.port_base)
    settings = {
        "replica": f"{service}-{index}",
        "listen": address(ports["grpc"]),
        "metrics_listen": address(ports["metrics"]),
        "etcd_endpoints": ",".join(etcd_endpoints(options)),
        "lease_ttl": options.lease_ttl,
        **secrets,
        **_own_settings(options, service, ports),
        **{item.key: item.value for item in options.overrides if item.counts_for(service, f"{service}-{index}")},
    }
    return ProcessSpec(
        name=service,
        replica=f"{service}-{index}",
        command=(python, "-P", "-m", f"services.{service}"),
        env={f"CHRONOS_{key.upper()}": value for key, value in settings.items()},
        ports=ports,
        probe=Probe(kind=ProbeKind.GRPC, address=address(ports["grpc"])),
    )


def _own_settings(options: MeshOptions, service: str, ports: Mapping[str, int]) -> dict[str, str]:
    match service:
        case "dispatcher":
            return {"allow_private_addresses": "true"}
        case "history":
            ledger = {"ledger_url": options.postgres_url} if options.postgres_url else {}
            return {"data_dir": str(options.data_dir / "history"), **ledger}
        case "gateway":
            return {"http_listen": address(ports["http"])}
        case _:
            return {}
