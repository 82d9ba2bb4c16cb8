"""Where the server is and who calls: flags > environment > profile > default."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

import httpx
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from cli.chronosctl.errors import UsageError
from cli.chronosctl.profiles import DEFAULT_SERVER, Profile, read_profiles

LOCAL_KEY = Path(".chronos") / "admin.key"


class OutputFormat(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Environment(BaseSettings):
    """What the environment says, for example CHRONOS_SERVER."""

    model_config = SettingsConfigDict(env_prefix="CHRONOS_", frozen=True, extra="ignore")

    server: str = ""
    api_key: SecretStr = SecretStr("")
    namespace: str = ""
    profile: str = ""
    # Path of the profile file; empty means ~/.config/chronos/config.yaml.
    config: str = ""

    def profile_path(self) -> Path:
        """Where the profiles are kept."""
        return Path(self.config) if self.config else Path.home() / ".config" / "chronos" / "config.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says; None where it says nothing."""

    server: str | None = None
    api_key: str | None = None
    namespace: str | None = None
    profile: str | None = None
    output: OutputFormat | None = None

    def over(self, outer: "Flags") -> "Flags":
        """These flags, and those of `outer` where these say nothing."""
        unset = {field.name for field in fields(self) if getattr(self, field.name) is None}
        return replace(self, **{name: getattr(outer, name) for name in unset})


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Whom to talk to, as whom. `namespace` is None when nobody chose one: the server then takes the job's."""

    server: str
    api_key: SecretStr
    namespace: str | None


def connection(flags: Flags, environment: Environment, folder: Path, say: Callable[[str], None]) -> Connection:
    """Decides whom to talk to. Uses the key of a mesh that runs in `folder` when no other is given, and says so."""
    profile = _profile(flags.profile or environment.profile, environment.profile_path())
    server = (flags.server or environment.server or profile.server or DEFAULT_SERVER).rstrip("/")
    if not is_web_address(server):
        raise UsageError(f"the server is {server!r}; write it as http://HOST:PORT or https://HOST")
    api_key = SecretStr(flags.api_key or "")
    for other in (environment.api_key, profile.api_key):
        api_key = api_key if api_key.get_secret_value() else other
    if not api_key.get_secret_value() and (folder / LOCAL_KEY).is_file() and is_loopback(server):
        api_key = SecretStr((folder / LOCAL_KEY).read_text().strip())
        say(f"Using the key of the local mesh, from {LOCAL_KEY}.")
    if re.search(r"[^!-~]", api_key.get_secret_value()):
        raise UsageError("the API key holds characters that no key has; pass it as it was printed")
    namespace = flags.namespace or environment.namespace or profile.namespace
    return Connection(server=server, api_key=api_key, namespace=namespace or None)


def is_web_address(server: str) -> bool:
    """Whether a server is written as http or https address with a host."""
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def is_loopback(server: str) -> bool:
    """Whether an address names this machine."""
    host = httpx.URL(server).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _profile(name: str, path: Path) -> Profile:
    stored = read_profiles(path)
    if not name:
        return stored.profiles.get(stored.current, Profile())
    if name not in stored.profiles:
        known = ", ".join(sorted(stored.profiles)) or "none yet"
        raise UsageError(f"there is no profile {name!r} in {path} (known: {known}); `chronosctl profile set` makes one")
    return stored.profiles[name]
