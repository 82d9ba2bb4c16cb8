"""Everything about one definition of a job that its deliveries share, worked out once."""

from dataclasses import dataclass, field

from services.dispatcher.domain.backoff import RetryPolicy
from services.dispatcher.domain.completion import Completion
from services.dispatcher.domain.limits import Limits
from services.dispatcher.domain.targets.plan import TargetPlan

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
    target: TargetPlan | None
    definition_id: bytes = b""
    facts: bytes = field(default=b"", repr=False)
    definition: bytes = field(default=b"", repr=False)
    priority: int = DEFAULT_PRIORITY
    is_at_most_once: bool = False
    limits: Limits | None = None
    completion: Completion | None = None
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    error: str = ""

    @property
    def endpoint(self) -> str:
        """What executions that go to the same place have in common."""
        return self.target.endpoint if self.target else ""

    @property
    def weight(self) -> int:
        """Bytes that it keeps in memory, roughly."""
        return 2048 + len(self.facts) + len(self.definition) + (self.target.weight if self.target else 0)
