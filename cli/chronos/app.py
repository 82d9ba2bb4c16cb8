"""The command line of `chronos`, put together. Commands import what they need: `--help` stays quick."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.chronos.errors import FAILED, MeshError
from cli.chronos.topology import DEFAULT_DATA_DIR

DataDir = Annotated[Path, typer.Option(help="Folder with everything that the mesh keeps.", resolve_path=True)]

app = typer.Typer(
    name="chronos",
    help="Runs a whole Chronos mesh on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
key_app = typer.Typer(help="API keys of the running mesh.", no_args_is_help=True)
app.add_typer(key_app, name="key")


@app.command()
def up(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port_base: Annotated[int, typer.Option(help="Port of the edge; everything else listens above it.")] = 8080,
    etcd: Annotated[int, typer.Option(help="Number of etcd members: 1 or 3.")] = 1,
    replicas: Annotated[str, typer.Option(help="For example scheduler=3,dispatcher=2. Others run once.")] = "",
    etcd_endpoints: Annotated[str, typer.Option(help="HOST:PORT,… of an etcd that runs already.")] = "",
    postgres: Annotated[
        str,
        typer.Option(envvar="CHRONOS_LEDGER_URL", help="postgresql://… of the ledger's database; else it is a file."),
    ] = "",
    lease_ttl: Annotated[str, typer.Option(help="After how long a silent replica counts as dead.")] = "2s",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="SERVICE.KEY=VALUE: a setting of a service, a replica (scheduler-1) or all (*)."),
    ] = None,
) -> None:
    """Start the mesh and keep it running until Ctrl-C."""
    from cli.chronos.topology import MeshOptions, parse_override, parse_replicas
    from cli.chronos.up import up as run_mesh

    options = MeshOptions(
        data_dir=data_dir,
        port_base=port_base,
        etcd_members=etcd,
        etcd_endpoints=tuple(filter(None, (part.strip() for part in etcd_endpoints.split(",")))),
        replicas=parse_replicas(replicas),
        lease_ttl=lease_ttl,
        overrides=tuple(parse_override(text) for text in settings or ()),
        postgres_url=postgres,
    )
    asyncio.run(run_mesh(options))


@app.command()
def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop the mesh and wait until nothing of it is left."""
    from cli.chronos.down import down as stop_mesh
    from libs.clock import SystemClock

    asyncio.run(stop_mesh(data_dir, SystemClock(), typer.echo))


@app.command()
def status(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every process and its health. Exit status: 0 healthy, 1 not, 3 no mesh."""
    from cli.chronos import status as mesh_status

    found = asyncio.run(mesh_status.look(data_dir))
    typer.echo(mesh_status.as_json(found, data_dir) if as_json else mesh_status.as_table(found))
    raise typer.Exit(0 if found.is_healthy else FAILED)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="A service, or one replica: scheduler, scheduler-1, etcd, envoy.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of the past.")] = 50,
) -> None:
    """Print the logs of a service."""
    from cli.chronos import logs as mesh_logs
    from libs.clock import SystemClock

    found = mesh_logs.logs_of(data_dir, service)

    async def go_on() -> None:
        async for line in mesh_logs.follow(found, SystemClock()):
            typer.echo(line)

    for line in mesh_logs.tail(found, lines):
        typer.echo(line)
    if follow:
        asyncio.run(go_on())


@app.command()
def demo(
    seconds: Annotated[int, typer.Option(min=5, max=3600, help="How long to watch.")] = 30,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the mesh running afterwards, until Ctrl-C.")] = False,
    data_dir: Annotated[
        Path, typer.Option(help="Folder for the demo's mesh, emptied first.", resolve_path=True)
    ] = DEFAULT_DATA_DIR / "demo",
) -> None:
    """Start a mesh with a receiver, watch real jobs fire, print a summary, stop."""
    from cli.chronos.demo.run import demo as run_demo

    raise typer.Exit(asyncio.run(run_demo(data_dir, seconds=seconds, keep=keep)))


@key_app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What it is for.")],
    permissions: Annotated[str, typer.Option(help="For example job:read,execution:read; * for all.")],
    namespaces: Annotated[str, typer.Option(help="Namespaces it works in; * for all.")] = "default",
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a key and print it, once."""
    from cli.chronos import keys
    from libs.clock import SystemClock

    granted, spaces = keys.split_permissions(permissions), keys.split_namespaces(namespaces)
    typer.echo(asyncio.run(keys.create(data_dir, name, granted, spaces, SystemClock())))


@key_app.command("list")
def list_keys(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show every key, without its secret."""
    from cli.chronos import keys
    from libs.clock import SystemClock

    for key in asyncio.run(keys.show(data_dir, SystemClock())):
        made = key.created_at.ToJsonString()
        typer.echo(f"{key.id}  {key.name}  {','.join(key.permissions)}  {','.join(key.namespaces)}  {made}")


@key_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id that `chronos key list` shows.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a key invalid."""
    from cli.chronos import keys
    from libs.clock import SystemClock

    asyncio.run(keys.revoke(data_dir, key_id, SystemClock()))
    typer.echo(f"Revoked {key_id}.")


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit status."""
    try:
        app(list(arguments), prog_name="chronos")
    except MeshError as error:
        typer.echo(f"Error: {error.message}", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    return 0
