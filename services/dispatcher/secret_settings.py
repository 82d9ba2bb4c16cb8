"""Where the dispatcher finds secrets that jobs refer to."""

from datetime import timedelta

from pydantic import Field, SecretStr, field_validator

from libs.settings import ENV_PREFIX, ServiceSettings
from services.dispatcher.domain.secret_rules import parse_rules

OPEN_TO_JOBS = f"{ENV_PREFIX}SECRET_"


class SecretSettings(ServiceSettings):
    """Settings of `${secret:…}`."""

    secret_env_prefix: str = OPEN_TO_JOBS
    """What names of variables begin with that jobs may refer to. Empty means that they may refer to none."""
    secret_directories: tuple[str, ...] = ()
    """Directories with files that jobs may refer to. Empty means that they may refer to none."""
    secret_kubernetes: bool = False
    """Whether jobs may refer to Secrets of Kubernetes, as far as the pod's service account may get them."""
    secret_kubernetes_namespace: str = ""
    """Kubernetes namespace of those Secrets. Empty means the pod's own."""
    secret_kubernetes_url: str = "https://kubernetes.default.svc"
    """The API server."""
    secret_kubernetes_mount: str = "/var/run/secrets/kubernetes.io/serviceaccount"
    """Where token, CA certificate and namespace of the service account are; also for logging in to Vault."""
    vault_address: str = ""
    """URL of Vault or OpenBao. Empty means that jobs may not refer to it."""
    vault_mount: str = "secret"
    """Mount of the key-value engine that jobs may refer to."""
    vault_kv_version: int = Field(default=2, ge=1, le=2)
    """Version of that engine."""
    vault_token: SecretStr = SecretStr("")
    """Token to read with. Empty means logging in with `vault_role`."""
    vault_role: str = ""
    """Role of Vault's Kubernetes authentication to log in as."""
    vault_auth_mount: str = "kubernetes"
    """Mount of that authentication."""
    vault_namespace: str = ""
    """Namespace inside Vault. Empty means the root."""
    vault_ca_file: str = ""
    """PEM file with an authority to trust for Vault, beside those of the system."""
    secret_lifetime: timedelta = Field(default=timedelta(seconds=30), ge=timedelta(0), le=timedelta(hours=1))
    """How long a secret that was read counts as fresh. A changed one is used after that."""
    secret_timeout: timedelta = Field(default=timedelta(seconds=5), gt=timedelta(0), le=timedelta(minutes=1))
    """Longest wait for a source."""
    secret_rules: tuple[str, ...] = ()
    """What jobs of a namespace may refer to: `NAMESPACE=SOURCE:PREFIX`, for example `billing=vault:secret/billing/`;
    `*` for namespaces without a rule of their own. Empty means that all may refer to everything named above."""

    @field_validator("secret_rules")
    @classmethod
    def _check_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_rules(value)
        return value

    @field_validator("secret_env_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        # The variables of our own settings hold the mesh token, and more.
        is_ours = value.startswith(ENV_PREFIX) or ENV_PREFIX.startswith(value)
        if value and is_ours and not value.startswith(OPEN_TO_JOBS):
            raise ValueError(f"would open Chronos's own settings to jobs; begin with {OPEN_TO_JOBS}, or otherwise")
        return value

    @field_validator("secret_directories")
    @classmethod
    def _check_directories(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for directory in value:
            if not directory.startswith("/") or not directory.strip("/"):
                raise ValueError(f'"{directory}" must be the full path of a directory, and not the root')
        return value

    @field_validator("vault_address")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL, for example https://vault.example.com:8200")
        return value
