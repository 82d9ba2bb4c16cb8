"""A command line that talks to a fake edge, away from the settings of whoever runs the tests."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from cli.chronosctl import session
from cli.chronosctl.app import run
from tests.fakes.edge import FakeEdge, serve_fake_edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run of the command line left."""

    status: int
    out: str
    err: str


Ctl = Callable[..., Ran]


@pytest.fixture
def edge() -> Iterator[FakeEdge]:
    with serve_fake_edge() as edge:
        yield edge


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """The waits that a command made; none of them takes time."""
    made: list[timedelta] = []
    monkeypatch.setattr(session, "pause", made.append)
    return made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with nothing in the environment."""
    for name in ("SERVER", "API_KEY", "NAMESPACE", "PROFILE"):
        monkeypatch.delenv(f"CHRONOS_{name}", raising=False)
    monkeypatch.setenv("CHRONOS_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ctl(
    edge: FakeEdge,
    home: Path,
    pauses: list[timedelta],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Ctl:
    def run_ctl(*arguments: str, stdin: str = "", server: str | None = None) -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        monkeypatch.setenv("CHRONOS_SERVER", server or edge.url)
        status = run(arguments)
        captured = capsys.readouterr()
        return Ran(status=status, out=captured.out, err=captured.err)

    return run_ctl
