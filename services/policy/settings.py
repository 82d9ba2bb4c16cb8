"""What the policy service can be told."""

from datetime import timedelta

from pydantic import Field

from libs.settings import ServiceSettings


class PolicySettings(ServiceSettings):
    """Settings of the policy service."""

    max_policies: int = Field(default=1_000, ge=20, le=10_000)
    """Most policies that can be created. Each replica holds them all, compiled, and counts decisions for each."""
    judging_slice: timedelta = Field(default=timedelta(milliseconds=5), gt=timedelta(0), le=timedelta(seconds=1))
    """How long a batch of questions may be judged before other calls get their turn."""
