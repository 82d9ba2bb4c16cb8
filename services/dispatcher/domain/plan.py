"""Everything about one version of a job that its deliveries share, worked out once."""

from collections.abc import Set
from dataclasses import dataclass, field
from datetime import timedelta

from services.dispatcher.domain.backoff import RetryPolicy
from services.dispatcher.domain.request import RequestPlan

DEFAULT_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How executions of one version of a job are delivered. `error` says why they cannot be, else it is empty."""

    namespace: str
    job_id: str
    job_uid: str
    job_name: str
    job_version: int
    request: RequestPlan | None
    success_codes: Set[int] = frozenset()
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    error: str = ""

    @property
    def endpoint(self) -> str:
        """What executions that go to the same place have in common."""
        return self.request.endpoint if self.request else ""

    @property
    def weight(self) -> int:
        """Bytes that it keeps in memory, roughly."""
        return 2048 + (self.request.weight if self.request else 0)
