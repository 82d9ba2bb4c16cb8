from pathlib import Path

import pytest

from cli.chronos.app import run


@pytest.mark.parametrize(
    "command", [[], ["up"], ["down"], ["status"], ["logs"], ["demo"], ["key"], ["key", "create"], ["key", "revoke"]]
)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert "Usage: chronos" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["up", "--replicas", "web=1"], 2, "no such service"),
        (["up", "--etcd", "2"], 2, "1 or 3"),
        (["up", "--port-base", "1"], 2, "--port-base"),
        (["up", "--set", "nonsense"], 2, "SERVICE.KEY=VALUE"),
        (["up", "--nonsense"], 2, "No such option"),
        (["status"], 3, "no mesh runs"),
        (["status", "--json"], 3, "no mesh runs"),
        (["key", "list"], 3, "no mesh runs"),
        (["key", "create", "--name", "x", "--permissions", "nonsense"], 2, "--permissions"),
        (["logs", "scheduler"], 2, "no logs"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    arguments: list[str], status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == status
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_stopping_what_does_not_run_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", "--data-dir", str(tmp_path)]) == 0
    assert "No mesh runs" in capsys.readouterr().out
