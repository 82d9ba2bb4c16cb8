"""Everything about one definition of a job that its deliveries share, worked out once."""

from collections.abc import Set
from dataclasses import dataclass, field
from datetime import timedelta

from services.dispatcher.domain.backoff import RetryPolicy
from services.dispatcher.domain.request import RequestPlan

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_PRIORITY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How executions of one definition of a job are delivered. `error` says why they cannot be, else it is empty.

    `facts` is what all records of them hold, and `definition` is what one of them holds besides; both serialized.
    Priorities are 1 to 9, and larger ones go first.
    """

    namespace: str
    job_id: str
    job_uid: str
    job_name: str
    request: RequestPlan | None
    definition_id: bytes = b""
    facts: bytes = field(default=b"", repr=False)
    definition: bytes = field(default=b"", repr=False)
    priority: int = DEFAULT_PRIORITY
    is_at_most_once: bool = False
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
        return 2048 + len(self.facts) + len(self.definition) + (self.request.weight if self.request else 0)
