"""`chronosctl profile`: named servers and keys."""

from typing import Annotated

import typer
from pydantic import SecretStr

from cli.chronosctl.errors import UsageError
from cli.chronosctl.output import Output
from cli.chronosctl.profiles import DEFAULT_SERVER, Profile, Profiles, read_profiles, write_profiles
from cli.chronosctl.settings import Environment, Flags, OutputFormat, is_web_address

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the profile.")]


def set_profile(
    name: Name,
    server: Annotated[str | None, typer.Option("--server", "-s", metavar="URL", help="Address of the edge.")] = None,
    api_key: Annotated[str | None, typer.Option("--api-key", metavar="KEY", help="Key; - asks for it.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", help="Namespace to work in.")] = None,
) -> None:
    """Makes a profile, or changes what is given. The first one made is used from then on."""
    if server and not is_web_address(server):
        raise UsageError(f"the server is {server!r}; write it as http://HOST:PORT or https://HOST")
    key = typer.prompt("API key", hide_input=True, err=True) if api_key == "-" else api_key
    path = Environment().profile_path()
    stored = read_profiles(path)
    old = stored.profiles.get(name, Profile())
    changed = Profile(
        server=old.server if server is None else server,
        api_key=old.api_key if key is None else SecretStr(key.strip()),
        namespace=old.namespace if namespace is None else namespace,
    )
    write_profiles(path, Profiles(current=stored.current or name, profiles={**stored.profiles, name: changed}))
    typer.echo(f"Profile {name} is kept in {path}.")


def list_profiles(
    ctx: typer.Context,
    output: Annotated[OutputFormat | None, typer.Option("--output", "-o", help="How to print the result.")] = None,
) -> None:
    """Lists the profiles. Keys are not shown."""
    stored = read_profiles(Environment().profile_path())
    rows = [
        {
            "name": name,
            "is_current": name == stored.current,
            "server": profile.server or DEFAULT_SERVER,
            "namespace": profile.namespace or "default",
            "has_key": bool(profile.api_key.get_secret_value()),
        }
        for name, profile in sorted(stored.profiles.items())
    ]
    printer = Output(Flags(output=output).over(ctx.obj or Flags()).output or OutputFormat.TABLE)
    if printer.is_table:
        printer.table(("NAME", "CURRENT", "SERVER", "NAMESPACE", "KEY"), [tuple(row.values()) for row in rows])
    else:
        printer.value({"profiles": rows})


def use_profile(name: Name) -> None:
    """Makes a profile the one that is used when none is named."""
    path = Environment().profile_path()
    stored = read_profiles(path)
    _known(stored, name)
    write_profiles(path, stored.model_copy(update={"current": name}))
    typer.echo(f"{name} is used from now on.")


def delete_profile(name: Name) -> None:
    """Forgets a profile and its key."""
    path = Environment().profile_path()
    stored = read_profiles(path)
    _known(stored, name)
    kept = {other: profile for other, profile in stored.profiles.items() if other != name}
    write_profiles(path, Profiles(current="" if stored.current == name else stored.current, profiles=kept))
    typer.echo(f"Profile {name} is forgotten.")


def _known(stored: Profiles, name: str) -> None:
    if name not in stored.profiles:
        raise UsageError(f"there is no profile {name!r}; `chronosctl profile list` shows them")
