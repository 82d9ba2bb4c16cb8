"""The command line, put together."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.chronosctl.commands import changes, cluster, executions, jobs, profiles
from cli.chronosctl.errors import CommandError
from cli.chronosctl.session import ApiKey, Namespace, OutputOption, ProfileName, Server, common_options, connected

GROUPS: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
    "job": (
        "Jobs: look up, change, run.",
        {
            "list": connected(jobs.list_jobs),
            "get": connected(jobs.get_job),
            "create": connected(changes.create_jobs),
            "update": connected(changes.update_job),
            "replace": connected(changes.replace_job),
            "delete": connected(jobs.delete_job),
            "trigger": connected(jobs.trigger_job),
            "enable": connected(jobs.enable_job),
            "disable": connected(jobs.disable_job),
        },
    ),
    "execution": (
        "Executions: list, look at, watch.",
        {
            "list": connected(executions.list_executions),
            "get": connected(executions.get_execution),
            "watch": connected(executions.watch_executions),
        },
    ),
    "cluster": ("The cluster as a whole.", {"status": connected(cluster.cluster_status)}),
    "profile": (
        "Named servers and keys.",
        {
            "list": profiles.list_profiles,
            "set": profiles.set_profile,
            "use": profiles.use_profile,
            "delete": profiles.delete_profile,
        },
    ),
}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chronosctl {version('chronos-scheduler')}")
        raise typer.Exit


def chronosctl(
    ctx: typer.Context,
    server: Server = None,
    api_key: ApiKey = None,
    namespace: Namespace = None,
    profile: ProfileName = None,
    output: OutputOption = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Works with a Chronos cluster: jobs, executions, the cluster itself.

    The server, the key and the namespace come from the options, else from CHRONOS_SERVER, CHRONOS_API_KEY and
    CHRONOS_NAMESPACE, else from the profile (--profile or CHRONOS_PROFILE; see `chronosctl profile`).
    """
    common_options(ctx, server, api_key, namespace, profile, output)


def build() -> typer.Typer:
    """Every command under its group."""
    app = typer.Typer(name="chronosctl", no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(chronosctl)
    for name, (summary, commands) in GROUPS.items():
        group = typer.Typer(help=summary, no_args_is_help=True)
        group.callback()(_nothing)  # keeps a group of one command a group
        for verb, command in commands.items():
            group.command(verb)(command)
        app.add_typer(group, name=name, help=summary)
    return app


def _nothing() -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit status: 0 done, 1 failed, 2 wrong usage."""
    try:
        build()(list(arguments), prog_name="chronosctl")
    except CommandError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"Error: {error}", "red"))
        return error.exit_status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
