import pytest
from pydantic import ValidationError

from services.dispatcher.settings import DispatcherSettings


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_env_prefix": "CHRONOS_"},
        {"secret_env_prefix": "CHRONOS_MESH_"},
        {"secret_env_prefix": "CHRONOS_VAULT"},
        {"secret_env_prefix": "CHRO"},
        {"secret_directories": ["relative"]},
        {"secret_directories": ["/"]},
        {"secret_rules": ["billing"]},
        {"vault_address": "vault.example.com:8200"},
        {"vault_kv_version": 3},
    ],
)
def test_settings_that_would_open_too_much_or_mean_nothing_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DispatcherSettings.model_validate(changes)


@pytest.mark.parametrize("prefix", ["", "CHRONOS_SECRET_", "CHRONOS_SECRET_JOBS_", "JOBS_"])
def test_prefixes_that_open_no_settings_are_taken(prefix: str) -> None:
    assert DispatcherSettings(secret_env_prefix=prefix).secret_env_prefix == prefix


def test_lists_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOS_SECRET_RULES", "billing=env:B_, *=file:/run/secrets/")
    monkeypatch.setenv("CHRONOS_SECRET_DIRECTORIES", "/run/secrets,/etc/jobs")
    settings = DispatcherSettings()
    assert settings.secret_rules == ("billing=env:B_", "*=file:/run/secrets/")
    assert settings.secret_directories == ("/run/secrets", "/etc/jobs")
