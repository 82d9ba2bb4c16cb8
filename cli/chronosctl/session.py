"""What every command is given: a client and an output. Adds the common options to a command."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Concatenate, ParamSpec

import typer

from cli.chronosctl.client import ApiClient, open_client
from cli.chronosctl.output import Output, plain
from cli.chronosctl.settings import Environment, Flags, OutputFormat, connection
from cli.chronosctl.splicing import declared, parameters_of
from libs.clock import SystemClock

P = ParamSpec("P")
PANEL = "Common options"
Server = Annotated[
    str | None, typer.Option("--server", "-s", metavar="URL", help="Address of the edge.", rich_help_panel=PANEL)
]
ApiKey = Annotated[
    str | None, typer.Option("--api-key", metavar="KEY", help="Key to call with.", rich_help_panel=PANEL)
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", metavar="NAME", help="Namespace to work in.", rich_help_panel=PANEL)
]
ProfileName = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Profile to take the rest from.", rich_help_panel=PANEL)
]
OutputOption = Annotated[
    OutputFormat | None, typer.Option("--output", "-o", help="How to print the result.", rich_help_panel=PANEL)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of a command."""

    client: ApiClient
    output: Output
    # When it began: what `now` and `-2h` on its command line count from.
    now: datetime


def common_options(
    ctx: typer.Context,
    server: Server = None,
    api_key: ApiKey = None,
    namespace: Namespace = None,
    profile: ProfileName = None,
    output: OutputOption = None,
) -> None:
    """Takes the common options; they may stand before or after the command."""
    given = Flags(server=server, api_key=api_key, namespace=namespace, profile=profile, output=output)
    ctx.obj = given.over(ctx.obj or Flags())


def connected(command: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """The command as typer calls it: with the common options, which become its session."""
    own = parameters_of(command)[1:]
    common = parameters_of(common_options)

    @functools.wraps(command)
    def with_session(*args: P.args, **kwargs: P.kwargs) -> None:
        values = {parameter.name: kwargs.pop(parameter.name) for parameter in common}
        common_options(**values)  # type: ignore[arg-type]
        with open_session(values["ctx"].obj) as session:  # type: ignore[attr-defined]
            command(session, *args, **kwargs)

    declared(with_session, [*own, *common])
    return with_session


@contextmanager
def open_session(flags: Flags) -> Iterator[Session]:
    """Connects as the flags, the environment and the profile say."""
    output = Output(flags.output or OutputFormat.TABLE)
    target = connection(flags, Environment(), Path.cwd(), output.say)
    with open_client(target, pause, lambda text: output.say(plain(f"Warning: {text}"), "yellow")) as client:
        yield Session(client=client, output=output, now=now())


def pause(span: timedelta) -> None:
    """Waits."""
    asyncio.run(SystemClock().sleep(span))


def now() -> datetime:
    """The moment, in UTC."""
    return SystemClock().now()
