"""Named servers and keys, kept in one YAML file that only its owner can read."""

import os
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from cli.chronosctl.errors import UsageError

DEFAULT_SERVER = "http://127.0.0.1:8080"


class Profile(BaseModel):
    """A server, and who calls it. Empty fields mean the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str = ""
    api_key: SecretStr = SecretStr("")
    namespace: str = ""


class Profiles(BaseModel):
    """The profile file. `current` is the profile used when none is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    current: str = ""
    profiles: dict[str, Profile] = {}


def read_profiles(path: Path) -> Profiles:
    """The profiles in a file; none when it does not exist. Raises UsageError when it cannot be understood."""
    try:
        return Profiles.model_validate(yaml.safe_load(path.read_text()) or {})
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise UsageError(f"cannot read the profiles in {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"the profiles in {path} are not YAML; correct or remove the file") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise UsageError(f"the profiles in {path} are wrong: {wrong}") from error


def write_profiles(path: Path, profiles: Profiles) -> None:
    """Replaces the file in one step, readable by its owner only."""
    content = {
        "current": profiles.current,
        "profiles": {name: _plain(profile) for name, profile in sorted(profiles.profiles.items())},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    draft.replace(path)


def _plain(profile: Profile) -> dict[str, str]:
    values = {"server": profile.server, "api_key": profile.api_key.get_secret_value(), "namespace": profile.namespace}
    return {name: value for name, value in values.items() if value}
