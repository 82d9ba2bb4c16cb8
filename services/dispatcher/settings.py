"""What the dispatcher can be told."""

from datetime import timedelta

from pydantic import Field, SecretStr, field_validator

from libs.signing_secrets import parse_secret
from services.dispatcher.domain.addresses import parse_networks
from services.dispatcher.secret_settings import SecretSettings


class DispatcherSettings(SecretSettings):
    """Settings of the dispatcher."""

    max_in_flight: int = Field(default=512, ge=1, le=65_536)
    """Most requests under way at a time."""
    max_in_flight_per_endpoint: int = Field(default=256, ge=1, le=65_536)
    """Most of them to one host and port, so that a slow one leaves room for the others."""
    credit_per_stream: int = Field(default=4_096, ge=1, le=1_000_000)
    """Deliveries that a scheduler may have here whose first attempt has not ended; bounds memory and the queue."""
    max_queued: int = Field(default=50_000, ge=1)
    """Queued executions at which no more credit is given, however many schedulers are connected."""
    max_waiting_retries: int = Field(default=100_000, ge=1)
    """Executions waiting for a retry at which no more credit is given."""
    max_buffered_records: int = Field(default=50_000, ge=1)
    """Records that history has not acknowledged at which no more credit is given."""
    max_buffered_response_bytes: int = Field(default=128 * 1024 * 1024, ge=0)
    """The same for the bytes of the answers in those records."""
    event_interval: timedelta = Field(default=timedelta(milliseconds=5), gt=timedelta(0), le=timedelta(seconds=1))
    """Time over which news for a scheduler is gathered into one message."""
    record_interval: timedelta = Field(default=timedelta(milliseconds=20), gt=timedelta(0), le=timedelta(seconds=1))
    """Time over which records are gathered into one batch. An execution that is shorter is recorded only once."""
    record_batch_size: int = Field(default=2_000, ge=1, le=5_000)
    """Most records in a batch."""
    record_batches_in_flight: int = Field(default=8, ge=1, le=1_000)
    """Batches sent to history before the first of them is acknowledged."""
    max_response_bytes: int = Field(default=16 * 1024, ge=0, le=1024 * 1024)
    """Most bytes of an answer's body that are kept."""
    longest_response_bytes: int = Field(default=1024 * 1024, ge=0)
    """Length of an answer's body above which the execution fails."""
    max_retry_after: timedelta = Field(default=timedelta(hours=1), ge=timedelta(0))
    """Longest wait that an endpoint can ask for with `Retry-After`."""
    allow_private_addresses: bool = False
    """Whether jobs may send to loopback, private and link-local addresses. Only for a machine of one's own."""
    allowed_networks: tuple[str, ...] = ()
    """Networks that jobs may send to although they are private, for example `10.1.0.0/16`."""
    name_lifetime: timedelta = Field(default=timedelta(seconds=30), ge=timedelta(0))
    """Time after which an endpoint's name is looked up again. Has no effect where private addresses are allowed."""
    max_pinned_names: int = Field(default=1_024, ge=1)
    """Names whose connections are kept. Each takes about 100 KB. No effect where private addresses are allowed."""
    ca_file: str = ""
    """PEM file with authorities to trust for https, beside those of the system."""
    max_claims_per_endpoint: int = Field(default=256, ge=1, le=65_536)
    """Most executions to one host and port that are claimed (AT_MOST_ONCE) and not yet begun: if this process is lost,
    they are."""
    breaker_failures: int = Field(default=5, ge=0, le=1_000)
    """Failures in a row after which a host is left alone for a while; 0 switches that off."""
    breaker_open: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0), le=timedelta(hours=1))
    """How long, before a probe shows whether it is well again."""
    breaker_successes: int = Field(default=2, ge=1, le=100)
    """Successful probes in a row after which all requests go out again."""
    max_breakers: int = Field(default=10_000, ge=1)
    """Hosts with failures that are remembered."""
    breaker_memory: timedelta = Field(default=timedelta(minutes=10), ge=timedelta(minutes=1))
    """How long a host is remembered as failing after the time of its next probe, when no job calls it any more."""
    signing_secrets: tuple[SecretStr, ...] = ()
    """Secrets (`whsec_…`, Standard Webhooks) that deliveries of jobs without secrets of their own are signed with."""
    max_plan_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    """Memory for jobs in the form in which they are delivered; those used least recently go first."""
    remember_finished: int = Field(default=100_000, ge=0)
    """Executions that ended, remembered so that a scheduler that missed the end can hear of it."""
    remember_finished_for: timedelta = Field(default=timedelta(minutes=10), ge=timedelta(0))
    """How long those are remembered."""

    @property
    def usual_secrets(self) -> list[str]:
        """The signing secrets, in clear."""
        return [secret.get_secret_value() for secret in self.signing_secrets]

    @field_validator("signing_secrets")
    @classmethod
    def _check_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            parse_secret(secret.get_secret_value())
        return value

    @field_validator("allowed_networks")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(value)
        return value
