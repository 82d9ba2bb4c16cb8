"""The command line, put together."""

from collections.abc import Callable, Sequence
from importlib.metadata import version as release
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.chronosctl.commands import (
    apply,
    calendars,
    changes,
    cluster,
    dead_letters,
    executions,
    jobs,
    namespaces,
    policies,
    policy_tests,
    policy_trials,
    profiles,
    runs,
    schedules,
    targets,
    versions,
)
from cli.chronosctl.errors import CommandError
from cli.chronosctl.output import plain
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
            "next-runs": connected(schedules.next_runs),
            "explain": connected(runs.explain_job),
            "backfill": connected(runs.backfill_job),
            "versions": connected(versions.list_versions),
            "version": connected(versions.get_version),
            "diff": connected(versions.diff_versions),
            "rollback": connected(versions.rollback_job),
        },
    ),
    "execution": (
        "Executions: list, look at, watch, repeat, stop, complete.",
        {
            "list": connected(executions.list_executions),
            "get": connected(executions.get_execution),
            "watch": connected(executions.watch_executions),
            "replay": connected(runs.replay_execution),
            "cancel": connected(runs.cancel_execution),
            "complete": connected(runs.complete_execution),
        },
    ),
    "dead-letters": (
        "Dead letters: deliveries that failed for good.",
        {
            "list": connected(dead_letters.list_dead_letters),
            "get": connected(dead_letters.get_dead_letter),
            "replay": connected(dead_letters.replay_dead_letters),
            "delete": connected(dead_letters.delete_dead_letter),
            "purge": connected(dead_letters.purge_dead_letters),
        },
    ),
    "schedule": ("Schedules: check them.", {"validate": connected(schedules.validate_schedule)}),
    "calendar": (
        "Calendars: days that jobs run on, or do not.",
        {
            "list": connected(calendars.list_calendars),
            "get": connected(calendars.get_calendar),
            "create": connected(calendars.create_calendar),
            "replace": connected(calendars.replace_calendar),
            "delete": connected(calendars.delete_calendar),
            "import": connected(calendars.import_calendar),
        },
    ),
    "namespace": (
        "Namespaces: rooms for jobs, with limits.",
        {
            "list": connected(namespaces.list_namespaces),
            "get": connected(namespaces.get_namespace),
            "create": connected(namespaces.create_namespace),
            "replace": connected(namespaces.replace_namespace),
            "delete": connected(namespaces.delete_namespace),
        },
    ),
    "policy": (
        "Policies: rules about what may be scheduled, and what may run.",
        {
            "list": connected(policies.list_policies),
            "get": connected(policies.get_policy),
            "apply": connected(policies.apply_policies),
            "delete": connected(policies.delete_policy),
            "enable": connected(policies.enable_policy),
            "disable": connected(policies.disable_policy),
            "versions": connected(policies.list_policy_versions),
            "rollback": connected(policies.rollback_policy),
            "test": policy_tests.run_tests,
            "dry-run": connected(policy_trials.dry_run_policy),
            "evaluate": connected(policy_trials.evaluate_policies),
            "decisions": connected(policy_trials.list_decisions),
        },
    ),
    "target": ("Places that jobs deliver to.", {"test": connected(targets.try_target)}),
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


ALONE: dict[str, Callable[..., None]] = {
    "apply": connected(apply.apply_files),
    "forecast": connected(schedules.forecast),
    "circuit-breakers": connected(cluster.circuit_breakers),
}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chronosctl {release('chronos-scheduler')}")
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
    """Works with a Chronos cluster: jobs, executions, calendars, namespaces, policies, the cluster itself.

    The server, the key and the namespace come from the options, else from CHRONOS_SERVER, CHRONOS_API_KEY and
    CHRONOS_NAMESPACE, else from the profile (--profile or CHRONOS_PROFILE; see `chronosctl profile`).
    """
    common_options(ctx, server, api_key, namespace, profile, output)


def build() -> typer.Typer:
    """Every command under its group."""
    app = typer.Typer(name="chronosctl", no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(chronosctl)
    for name, command in ALONE.items():
        app.command(name)(command)
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
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(plain(f"Error: {error}"), "red"))
        return error.exit_status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
