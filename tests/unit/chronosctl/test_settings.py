from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.chronosctl.errors import UsageError
from cli.chronosctl.profiles import Profile, Profiles, read_profiles, write_profiles
from cli.chronosctl.settings import Connection, Environment, Flags, connection


def resolve(folder: Path, flags: Flags | None = None, said: list[str] | None = None, **environment: str) -> Connection:
    variables = Environment.model_validate({"config": str(folder / "config.yaml"), **environment})
    return connection(flags or Flags(), variables, folder, (said if said is not None else []).append)


def local_key(folder: Path) -> None:
    (folder / ".chronos").mkdir()
    (folder / ".chronos" / "admin.key").write_text("chronos_local_secret\n")


def test_without_anything_it_is_the_mesh_on_this_machine(tmp_path: Path) -> None:
    found = resolve(tmp_path)
    assert (found.server, found.api_key.get_secret_value(), found.namespace) == ("http://127.0.0.1:8080", "", None)


def test_flags_win_over_the_environment_and_that_over_the_profile(tmp_path: Path) -> None:
    profile = Profile(server="http://profile", api_key=SecretStr("p"), namespace="p")
    write_profiles(tmp_path / "config.yaml", Profiles(current="work", profiles={"work": profile}))
    assert resolve(tmp_path).server == "http://profile"
    assert resolve(tmp_path, server="http://environment").server == "http://environment"
    assert resolve(tmp_path, Flags(server="http://flag"), server="http://environment").server == "http://flag"
    mixed = resolve(tmp_path, Flags(namespace="f"), api_key="e")
    assert (mixed.server, mixed.api_key.get_secret_value(), mixed.namespace) == ("http://profile", "e", "f")


def test_a_named_profile_is_used_and_an_unknown_one_refused(tmp_path: Path) -> None:
    write_profiles(tmp_path / "config.yaml", Profiles(profiles={"work": Profile(server="http://work")}))
    assert resolve(tmp_path, profile="work").server == "http://work"
    with pytest.raises(UsageError, match="known: work"):
        resolve(tmp_path, Flags(profile="wrok"))


def test_the_key_of_a_local_mesh_is_used_and_said(tmp_path: Path) -> None:
    local_key(tmp_path)
    said: list[str] = []
    assert resolve(tmp_path, said=said).api_key.get_secret_value() == "chronos_local_secret"
    assert said == ["Using the key of the local mesh, from .chronos/admin.key."]


def test_the_key_of_a_local_mesh_never_goes_to_another_machine(tmp_path: Path) -> None:
    local_key(tmp_path)
    assert resolve(tmp_path, server="https://chronos.example.com").api_key.get_secret_value() == ""
    assert resolve(tmp_path, server="http://localhost:9000").api_key.get_secret_value() != ""
    assert resolve(tmp_path, server="http://[::1]:9000").api_key.get_secret_value() != ""


def test_a_given_key_is_used_in_place_of_the_local_one(tmp_path: Path) -> None:
    local_key(tmp_path)
    said: list[str] = []
    assert resolve(tmp_path, said=said, api_key="mine").api_key.get_secret_value() == "mine"
    assert said == []


@pytest.mark.parametrize("server", ["localhost:8080", "ftp://a", "http://"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, server: str) -> None:
    with pytest.raises(UsageError, match="http://HOST:PORT"):
        resolve(tmp_path, server=server)


def test_a_key_with_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="API key"):
        resolve(tmp_path, api_key="a\nb")


def test_profiles_survive_being_written_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.yaml"
    profiles = Profiles(current="a", profiles={"a": Profile(server="http://a", api_key=SecretStr("k"))})
    write_profiles(path, profiles)
    assert read_profiles(path) == profiles
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["profiles: {a: {sever: x}}", "- a", "a: [", "profiles: 3"])
def test_a_wrong_profile_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"config\.yaml"):
        resolve(tmp_path)
