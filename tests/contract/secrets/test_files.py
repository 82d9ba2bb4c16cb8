"""Secrets in real files and variables."""

import os
from pathlib import Path

import pytest

from services.dispatcher.adapters.secrets.environment import EnvironmentSecrets
from services.dispatcher.adapters.secrets.files import MOST_BYTES, FileSecrets
from services.dispatcher.domain.results import Failure, FailureKind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "open").mkdir()
    (tmp_path / "outside").write_text("o")
    return tmp_path / "open"


async def refusal(folder: Path, name: Path | str) -> str:
    answer = await FileSecrets([str(folder)]).read(str(name))
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.INVALID
    return answer.error


@pytest.mark.parametrize(
    ("content", "value"),
    [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("a\nb\n\n", "a\nb\n"), (" ü ", " ü ")],
)
async def test_a_file_is_read_without_the_newline_at_its_end(folder: Path, content: str, value: str) -> None:
    (folder / "key").write_bytes(content.encode())
    assert await FileSecrets([str(folder)]).read(str(folder / "key")) == value


async def test_a_mounted_secret_that_changes_is_read_anew_through_its_links(folder: Path) -> None:
    """Kubernetes and systemd put new directories behind a link."""
    for version in ("one", "two"):
        (folder / version).mkdir()
        (folder / version / "key").write_text(version)
    (folder / "..data").symlink_to("one")
    (folder / "key").symlink_to("..data/key")
    source = FileSecrets([str(folder)])
    assert await source.read(str(folder / "key")) == "one"
    (folder / "..next").symlink_to("two")
    (folder / "..next").rename(folder / "..data")
    assert await source.read(str(folder / "key")) == "two"


async def test_a_directory_that_is_a_link_itself_is_one_of_those_allowed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    (folder / "key").write_text("s3cret")
    assert await FileSecrets([str(tmp_path / "link")]).read(str(tmp_path / "link" / "key")) == "s3cret"
    assert await FileSecrets([str(tmp_path / "link")]).read(str(folder / "key")) == "s3cret"


async def test_nothing_outside_of_the_directories_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "up").symlink_to(tmp_path)
    (tmp_path / "open-too").mkdir()
    (tmp_path / "open-too" / "key").write_text("s")
    (folder / "loop").symlink_to("loop")
    for name in (
        tmp_path / "outside", "/etc/hostname", f"{folder}/../outside", folder / "link", folder / "up" / "outside",
        tmp_path / "open-too" / "key", folder / "loop", tmp_path / "absent", f"{folder}/../absent",
        folder / "up" / "absent",
    ):  # fmt: skip
        assert "secret_directories" in await refusal(folder, name)


async def test_what_cannot_be_a_secret_is_refused(folder: Path) -> None:
    (folder / "large").write_bytes(b"x" * (MOST_BYTES + 1))
    (folder / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(folder / "pipe")
    assert await refusal(folder, folder / "absent") == "there is no such file"
    assert await refusal(folder, folder / "large") == "the file is larger than 65,536 bytes"
    assert await refusal(folder, folder / "binary") == "the file is no UTF-8 text"
    assert await refusal(folder, folder / "pipe") == "it is no plain file"
    (folder / "largest").write_bytes(b"x" * MOST_BYTES)
    assert await FileSecrets([str(folder)]).read(str(folder / "largest")) == "x" * MOST_BYTES


async def test_only_variables_with_the_prefix_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOS_SECRET_KEY", "s3cret")
    monkeypatch.setenv("CHRONOS_MESH_TOKEN", "mesh")
    source = EnvironmentSecrets("CHRONOS_SECRET_")
    assert await source.read("CHRONOS_SECRET_KEY") == "s3cret"
    for name, said in [
        ("CHRONOS_MESH_TOKEN", "begin with CHRONOS_SECRET_"),
        ("CHRONOS_SECRET_ABSENT", "no such variable"),
    ]:
        answer = await source.read(name)
        assert isinstance(answer, Failure)
        assert (answer.kind, said in answer.error) == (FailureKind.INVALID, True)
