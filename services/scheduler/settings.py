"""What the scheduler can be told."""

from datetime import timedelta

from pydantic import Field, SecretStr, field_validator

from libs.settings import ServiceSettings
from services.scheduler.domain.sealing_keys import PLAIN, parse_key


class SchedulerSettings(ServiceSettings):
    """Settings of the scheduler."""

    shard_count: int = Field(default=64, ge=1, le=4096)
    """Number of shards, when this is the first process of a new cluster; otherwise what the cluster has."""
    grace_period: timedelta = Field(default=timedelta(seconds=60), ge=timedelta(0))
    """How late an occurrence may be noticed and still run. Of later ones only the latest runs."""
    watermark_interval: timedelta = Field(default=timedelta(milliseconds=500), ge=timedelta(milliseconds=50))
    """How often progress is written to etcd. A take-over looks again at what fired since."""
    scan_interval: timedelta = Field(default=timedelta(seconds=5), ge=timedelta(seconds=1))
    """How often a replica looks whether all that it answers for goes on."""
    encryption_keys: tuple[SecretStr, ...] = ()
    """Keys for the secrets of stored jobs, each 32 bytes in Base64: the first one encrypts, all of them decrypt. The
    same for all schedulers. `plain` in the first place encrypts nothing, and the others still decrypt. Empty means that
    secrets are stored in clear."""
    account_allowed: bool = False
    """Whether the account of policies' decisions also has what they have nothing against."""
    most_queued: int = Field(default=50_000, ge=1)
    """Runs that may wait for a dispatcher; at more, firing pauses."""

    @field_validator("encryption_keys")
    @classmethod
    def _check_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            if key.get_secret_value() != PLAIN:
                parse_key(key.get_secret_value())
        return value
