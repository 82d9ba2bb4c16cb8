"""What `chronos` reads from the environment, and what of it the children get to see."""

import os

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

HANDED_ON = (
    "CHRONOS_LOG_LEVEL",
    "CHRONOS_OTLP_ENDPOINT",
    "CHRONOS_TRACE_SAMPLE_RATIO",
    "CHRONOS_DRAIN_TIMEOUT",
    "CHRONOS_ETCD_CA_FILE",
    "CHRONOS_ETCD_CERT_FILE",
    "CHRONOS_ETCD_KEY_FILE",
)
"""Settings that every service knows. All others are given with `--set`, for one service or for all."""
JOBS_SECRETS = "CHRONOS_SECRET_"
"""What variables begin with that jobs may refer to (`${secret:env:…}`)."""


class MeshSettings(BaseSettings):
    """Secrets and search paths that a mesh is started with."""

    model_config = SettingsConfigDict(env_prefix="CHRONOS_", frozen=True, extra="ignore")

    admin_key: SecretStr = SecretStr("")
    """The cluster's first API key, `chronos_<id>_<secret>`. Empty means: make one when the cluster has none."""
    mesh_token: SecretStr = SecretStr("")
    """What the services prove themselves to each other with. Empty means: make one, keep it in the data directory."""
    encryption_keys: SecretStr = SecretStr("")
    """Keys that secrets of stored jobs are encrypted with. Empty means: make one, keep it in the data directory."""
    etcd_ca_file: str = ""
    """Certificate authority of an external etcd; empty means plaintext."""
    etcd_cert_file: str = ""
    """Client certificate for an external etcd."""
    etcd_key_file: str = ""
    """Private key of the client certificate."""
    search_path: str = Field(default="", validation_alias="PATH")
    """Folders in which `etcd` is looked for."""


def environment_of_children() -> dict[str, str]:
    """The environment without this command's own settings, secrets among them."""
    inherited = os.environ  # noqa: TID251 - handed on, not read
    return {
        name: value
        for name, value in inherited.items()
        if not name.startswith("CHRONOS_") or name in HANDED_ON or name.startswith(JOBS_SECRETS)
    }
