"""What the README tells people to type works, word for word."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import ROOT, RunningMesh, eventually, free_base, is_free, plain_environment, running_mesh
from tests.e2e.readme import Block, blocks

pytestmark = pytest.mark.mesh
README = ROOT / "README.md"
EDGE_PORT, RECEIVER_PORT = "8080", "9000"


class Reader:
    """Somebody who types the README's commands into one shell. Other ports stand in for those that it names."""

    def __init__(self, folder: Path, ports: dict[str, str], environment: dict[str, str]) -> None:
        self._folder = folder
        self._ports = ports
        self._typed: list[str] = []
        self._environment = environment

    def on_other_ports(self, text: str) -> str:
        for told, used in self._ports.items():
            text = text.replace(f":{told}", f":{used}").replace(f"port {told}", f"port {used}")
        return text

    def type(self, block: Block) -> str:
        """Runs a block after the settings of those before it, and gives what it prints."""
        settings = [line for line in self._typed if line.startswith("export ")]
        script = "\n".join(["set -euo pipefail", *settings, self.on_other_ports(block.commands)])
        ran = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert ran.returncode == 0, f"{block.commands}\n{ran.stdout}\n{ran.stderr}"
        self._typed += block.commands.splitlines()
        return ran.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone after `make setup`."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


@pytest.fixture(scope="module")
def readme_mesh(clone: Path) -> Iterator[RunningMesh]:
    with running_mesh(clone / ".chronos") as running:
        yield running


@pytest.fixture(scope="module")
def receiver_port(clone: Path) -> Iterator[str]:
    """The receiver that the README starts, on another port."""
    port = free_base() + 550
    assert is_free(port)
    command = [sys.executable, "examples/receiver.py", "--port", str(port)]
    process = subprocess.Popen(command, cwd=clone, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: not is_free(port))
        yield str(port)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def reader(clone: Path, readme_mesh: RunningMesh, receiver_port: str) -> Reader:
    edge_port = readme_mesh.edge.rpartition(":")[2]
    ports = {EDGE_PORT: edge_port, RECEIVER_PORT: receiver_port}
    # chronosctl is told by its environment what the README leaves to its default.
    environment = {**plain_environment(), "CHRONOS_SERVER": readme_mesh.edge, "COLUMNS": "200"}
    typing = Reader(clone, ports, environment)
    for path in (clone / "examples").glob("*.yaml"):
        path.write_text(typing.on_other_ports(path.read_text()))
    return typing


def test_the_walk_through_works_word_for_word(reader: Reader) -> None:
    typed = list(blocks(README, "bash run"))
    assert len(typed) >= 5
    for block in typed:
        output = reader.type(block)
        assert block.missing_in(output) == [], f"{block.commands}\n{output}"


def test_what_is_started_in_other_terminals_is_what_is_written() -> None:
    written = [block.commands for block in blocks(README, "bash")]
    assert "make up\n" in written
    assert ".venv/bin/python examples/receiver.py\n" in written
    assert any("make demo" in text and "make test" in text for text in written)


def test_the_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for block in blocks(README, "bash"):
        for line in block.commands.splitlines():
            if line.startswith("make "):
                assert f"\n{line.split()[1]}:" in makefile, line
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
