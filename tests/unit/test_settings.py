"""Settings: environment over file over defaults, and what bad ones get."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from libs.settings import MASK, ServiceSettings, describe, load


class WidgetSettings(ServiceSettings):
    """Settings of a service that exists only here."""

    most_widgets: int = 3
    patience: timedelta = timedelta(seconds=30)
    colours: tuple[str, ...] = ("red",)


@pytest.fixture(autouse=True)
def _no_chronos_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN", "LEASE_TTL", "ETCD_ENDPOINTS", "MESH_TOKEN", "REPLICA", "LOG_LEVEL"):
        monkeypatch.delenv(f"CHRONOS_{name}", raising=False)


def written(folder: Path, text: str) -> list[str]:
    path = folder / "widget.yaml"
    path.write_text(text)
    return ["--config", str(path)]


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        load(WidgetSettings, argv)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def test_without_file_and_environment_the_defaults_hold() -> None:
    settings = load(WidgetSettings, [])
    assert settings.listen == "127.0.0.1:0"
    assert settings.lease_ttl == timedelta(seconds=2)
    assert settings.replica == "widget-0"


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHRONOS_LISTEN", "0.0.0.0:9000")
    settings = load(WidgetSettings, written(tmp_path, "listen: 127.0.0.1:7000\nmost_widgets: 8\n"))
    assert (settings.listen, settings.most_widgets, settings.log_level) == ("0.0.0.0:9000", 8, "info")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2s", timedelta(seconds=2)),
        ("500ms", timedelta(milliseconds=500)),
        ("1m30s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
    ],
)
def test_durations_are_written_with_units(text: str, span: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOS_PATIENCE", text)
    assert load(WidgetSettings, []).patience == span


def test_lists_in_the_environment_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOS_ETCD_ENDPOINTS", "10.0.0.1:2379, 10.0.0.2:2379")
    assert load(WidgetSettings, []).etcd_endpoints == ("10.0.0.1:2379", "10.0.0.2:2379")


def test_lists_in_a_file_are_yaml_lists(tmp_path: Path) -> None:
    assert load(WidgetSettings, written(tmp_path, "colours: [green, blue]")).colours == ("green", "blue")


def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 'unknown key "lisen"; did you mean "listen"?' in refused(written(tmp_path, "lisen: x"), capsys)


def test_an_unknown_environment_variable_is_another_services_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOS_MOST_GADGETS", "1")
    load(WidgetSettings, [])


@pytest.mark.parametrize("text", ["- a\n- b", "{", "just words", "listen: [", "\x00"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "widget.yaml" in refused(written(tmp_path, text), capsys)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load(WidgetSettings, written(tmp_path, "# nothing yet\n")).most_widgets == 3


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot be read" in refused(["--config", str(tmp_path / "none.yaml")], capsys)


def test_a_bad_value_is_refused_with_its_field_and_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHRONOS_PATIENCE", "soon")
    monkeypatch.setenv("CHRONOS_MOST_WIDGETS", "many")
    line = refused([], capsys)
    assert 'patience (CHRONOS_PATIENCE): "soon" is not a duration' in line
    assert "most_widgets (CHRONOS_MOST_WIDGETS)" in line


def test_a_secret_that_is_refused_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHRONOS_LEASE_TTL", "nonsense")
    monkeypatch.setenv("CHRONOS_MESH_TOKEN", "hush")
    assert "hush" not in refused([], capsys)


def test_check_prints_the_settings_in_force_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHRONOS_MESH_TOKEN", "hush")
    with pytest.raises(SystemExit) as stop:
        load(WidgetSettings, [*written(tmp_path, "patience: 1m30s\n"), "--check"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "patience: 1m30s\n" in printed
    assert f"mesh_token: '{MASK}'\n" in printed
    assert "hush" not in printed


def test_what_check_prints_can_be_used_as_a_file(tmp_path: Path) -> None:
    settings = WidgetSettings(patience=timedelta(milliseconds=1500), colours=("a", "b"))
    assert load(WidgetSettings, written(tmp_path, describe(settings))) == settings


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        WidgetSettings().listen = "elsewhere"


def test_arguments_win_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOS_LISTEN", "0.0.0.0:9000")
    settings = WidgetSettings(listen="127.0.0.1:1", mesh_token=SecretStr("x"))
    assert settings.listen == "127.0.0.1:1"
    assert "x" not in repr(settings.mesh_token)
