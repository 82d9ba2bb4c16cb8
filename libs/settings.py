"""Settings of a service: the environment over a YAML file over defaults, refused at start-up when a key is unknown."""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeVar, get_origin

import yaml
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from libs.durations import format_duration, parse_duration

ENV_PREFIX = "CHRONOS_"
MASK = "********"
EXIT_BAD_SETTINGS = 2

_file_values: ContextVar[Mapping[str, Any]] = ContextVar("_file_values")


class ServiceSettings(BaseSettings):
    """What every service can be told.

    A field of type `timedelta` is written `2s`, `500ms` or `1m30s`; a tuple is a YAML list, or comma-separated in the
    environment. An environment variable is the field's name in upper case after `CHRONOS_`.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, enable_decoding=False, validate_default=True
    )

    replica: str = ""
    """Name that survives restarts. Empty means `<service>-0`."""
    listen: str = "127.0.0.1:0"
    """`host:port` of the gRPC server; port 0 takes a free one."""
    metrics_listen: str = "127.0.0.1:0"
    """`host:port` that serves `/metrics` and `/health`."""
    advertise: str = ""
    """`host:port` that other services reach this one at. Empty means the bound address."""
    etcd_endpoints: tuple[str, ...] = Field(default=("127.0.0.1:2379",), min_length=1)
    """`host:port` of each etcd member."""
    etcd_ca_file: str = ""
    """PEM file of the authority that signed etcd's certificates. Empty means plaintext."""
    etcd_cert_file: str = ""
    """PEM file of the certificate to show to etcd."""
    etcd_key_file: str = ""
    """PEM file of its private key."""
    lease_ttl: timedelta = Field(default=timedelta(seconds=2), ge=timedelta(seconds=1), le=timedelta(minutes=5))
    """How long after its last sign of life a replica counts as dead."""
    mesh_token: SecretStr = SecretStr("")
    """Secret that the services of one mesh share; internal calls must carry it."""
    tls_cert_file: str = ""
    """PEM file of the certificate that the gRPC server shows. Empty means plaintext."""
    tls_key_file: str = ""
    """PEM file of its private key."""
    tls_ca_file: str = ""
    """PEM file of the authority of the mesh. Given, both sides of a call must show a certificate signed by it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    otlp_endpoint: str = ""
    """URL of an OpenTelemetry collector, for example `http://127.0.0.1:4317`. Empty means that no span is made."""
    trace_sample_ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of the traces begun here that are exported."""
    drain_timeout: timedelta = Field(default=timedelta(seconds=20), ge=timedelta(0), le=timedelta(hours=1))
    """Longest time that a stopping service spends on what is under way."""
    use_uvloop: bool = True
    """Run on uvloop in place of asyncio's own loop."""

    @field_validator("*", mode="before")
    @classmethod
    def _read_text(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if not isinstance(value, str):
            return value
        if kind is timedelta:
            return parse_duration(value)
        if get_origin(kind) in (tuple, list, frozenset, set):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("replica")
    @classmethod
    def _name_replica(cls, value: str) -> str:
        return value or f"{cls.__name__.removesuffix('Settings').lower()}-0"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file that `load` read."""
        del dotenv_settings, file_secret_settings
        file_settings = InitSettingsSource(settings_cls, init_kwargs=dict(_file_values.get({})))
        return init_settings, env_settings, file_settings


S = TypeVar("S", bound=ServiceSettings)


def load(cls: type[S], argv: Sequence[str]) -> S:
    """The settings for a process started with `argv` (without the program's name).

    `--config FILE` names the YAML file; `--check` prints what is in force, secrets masked, and exits with 0. Settings
    that are wrong exit with 2 after one line on stderr.
    """
    parser = argparse.ArgumentParser(description=(cls.__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with settings")
    parser.add_argument("--check", action="store_true", help="check the settings, print them, and exit")
    arguments = parser.parse_args(argv)
    try:
        settings = _build(cls, _read_file(cls, arguments.config) if arguments.config else {})
    except ValueError as error:
        _refuse(str(error))
    if arguments.check:
        sys.stdout.write(describe(settings))
        raise SystemExit(0)
    return settings


def describe(settings: ServiceSettings) -> str:
    """The settings as YAML, secrets masked."""
    shown = {name: _shown(getattr(settings, name)) for name in type(settings).model_fields}
    return yaml.safe_dump(shown, sort_keys=False, default_flow_style=False, allow_unicode=True)


def _shown(value: object) -> object:
    match value:
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case timedelta():
            return format_duration(value)
        case tuple() | list() | set() | frozenset():
            return [_shown(item) for item in value]
        case None | bool() | int() | float():
            return value
        case _:
            return str(value)


def _read_file(cls: type[ServiceSettings], path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must hold a mapping of settings, for example `log_level: info`")
    for key in values:
        if key not in cls.model_fields:
            raise ValueError(f'{path}: unknown key "{key}"{_suggestion(str(key), list(cls.model_fields))}')
    return values


def _suggestion(key: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0)
    return f'; did you mean "{nearest[0]}"?' if nearest else ""


def _build(cls: type[S], values: Mapping[str, Any]) -> S:
    token = _file_values.set(values)
    try:
        return cls()
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(dict(problem)) for problem in error.errors())) from error
    finally:
        _file_values.reset(token)


def _sentence(problem: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{field} ({ENV_PREFIX}{field.partition('.')[0].upper()}): {message}" if field else message


def _refuse(problem: str) -> NoReturn:
    sys.stderr.write(f"bad settings: {problem}\n")
    raise SystemExit(EXIT_BAD_SETTINGS)
