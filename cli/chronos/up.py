"""`chronos up`: runs a mesh until it is told to stop."""

import contextlib

import typer

from cli.chronos.first_key import FirstKey, check_given
from cli.chronos.mesh import Mesh, open_mesh
from cli.chronos.settings import MeshSettings
from cli.chronos.state import ProcessState
from cli.chronos.stopping import stopped_by_signals
from cli.chronos.topology import DEFAULT_DATA_DIR, MeshOptions
from cli.chronos.waiting import first_of
from libs.clock import SystemClock

PRIVATE_ADDRESSES = "Webhooks may call private addresses here; in production leave allow_private_addresses off."


def tell(line: str) -> None:
    """Shows a line to the person who watches. A terminal that is gone is no reason to stop."""
    with contextlib.suppress(OSError):
        typer.echo(line, err=True)


async def up(options: MeshOptions) -> None:
    """Starts the mesh, says where things are, and ends it on SIGINT, SIGTERM or SIGHUP.

    A second signal ends it without letting the services finish what they are doing.
    """
    settings = MeshSettings()
    check_given(settings.admin_key)
    clock = SystemClock()
    began = clock.monotonic()
    with stopped_by_signals() as stopping:
        async with open_mesh(options, settings, clock, tell, hurry=stopping.hurry) as mesh:
            tell(f"Starting Chronos, with its data in {options.data_dir}. {PRIVATE_ADDRESSES}")

            async def live() -> None:
                first_key = await mesh.start()
                tell(f"Chronos is up after {clock.monotonic() - began:.1f} s.\n{where_things_are(mesh, first_key)}")
                await stopping.wanted.wait()

            await first_of(live(), stopping.wanted.wait())
            tell("Stopping; once more Ctrl-C stops at once.")
    tell("Stopped.")


def where_things_are(mesh: Mesh, key: FirstKey) -> str:
    """A few lines for the person who started the mesh."""
    data_dir = mesh.options.data_dir
    flag = "" if data_dir == DEFAULT_DATA_DIR.resolve() else f" --data-dir {data_dir}"
    facts = {
        "edge": f"{mesh.edge_url}  (REST, gRPC, gRPC-Web)",
        "API key": f"{key.fresh}  (shown once; kept in {key.where})" if key.fresh else key.where,
        "try": f'curl -H "X-API-Key: {key.shell}" {mesh.edge_url}/api/v1/jobs',
        "mesh": replicas_text([child.state for child in mesh.supervisor.children.values()]),
        "state": f"chronos status{flag}",
        "logs": f"chronos logs scheduler -f{flag}",
        "stop": f"Ctrl-C, or chronos down{flag}",
    }
    return "\n".join(f"  {name:<8} {fact}" for name, fact in facts.items())


def replicas_text(processes: list[ProcessState]) -> str:
    """`etcd 1, history 1, …` in the order of the processes."""
    counts: dict[str, int] = {}
    for process in processes:
        counts[process.name] = counts.get(process.name, 0) + 1
    return ", ".join(f"{name} {count}" for name, count in counts.items())
