"""Policies: which of them apply, what they say, and the account of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from chronos.history.v1 import policy_decision_pb2
from chronos.policy.v1 import decision_service_pb2, policy_pb2, stored_policy_pb2

Operation: TypeAlias = "policy_pb2.Policy.Operation.ValueType"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What policies said to some questions, in their order, and the revision of the policies that said it."""

    answers: Sequence[decision_service_pb2.Answer]
    revision: int


class PolicyBook(Protocol):
    """What is known of the stored policies without asking: not what they say, but where they have something to say.

    At hand without waiting; a moment behind the store.
    """

    @property
    def revision(self) -> int:
        """Revision of their last change; 0 until they were read. An older decision may not hold any more."""

    def uses(self, operation: Operation, namespace: str, tags: Mapping[str, str]) -> frozenset[str] | None:
        """What has to be told of `now`, `load`, `endpoint`, `timing` and `calendars`; None: no enabled policy applies.

        `tags` are those of the job, empty where it is about none. Until the policies were read, all has to be told.
        """

    def can_deny(self, operation: Operation, namespace: str, tags: Mapping[str, str]) -> bool:
        """Whether one of those that apply can refuse something. Where none can, nobody has to wait for them."""


class PolicyFinder(Protocol):
    """Policies as they are stored."""

    async def find(self, policy_id: str) -> stored_policy_pb2.StoredPolicy | None:
        """The policy, enabled or not, or None. Raises Unavailable."""


class Policies(Protocol):
    """The policy service."""

    async def decide(
        self, questions: Sequence[decision_service_pb2.Question], *, draft: policy_pb2.Policy | None = None
    ) -> Decided:
        """Judges up to 1,000 operations, by the stored policies or by `draft` alone.

        Asks any replica that is alive, and another one when that fails or knows older policies than the book. Raises
        Unavailable within two seconds, and InvalidArgument when the draft is wrong.
        """


class Loads(Protocol):
    """What runs now, as far as this replica knows."""

    def of(self, namespace: str, job_uid: str) -> decision_service_pb2.Load:
        """The runs that are under way."""


class TargetHosts(Protocol):
    """Where hosts are."""

    async def addresses(self, hosts: Sequence[str]) -> Sequence[str]:
        """The IP addresses of hosts, each once; none for a host that has none, or for which none is found in time."""


class Accounts(Protocol):
    """The account of decisions."""

    @property
    def takes_allowed(self) -> bool:
        """Whether what nobody has anything against is accounted for, too."""

    def add(self, decision: policy_decision_pb2.PolicyDecision) -> None:
        """Has a decision recorded. Never blocks; an empty `id` is filled in."""
