"""What policy's use cases need from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chronos.policy.v1 import stored_policy_pb2

from services.policy.domain.judging import PolicySet

VERSIONS_KEPT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedPolicy:
    """A stored policy with the revision that wrote it; 0 when nothing did."""

    stored: stored_policy_pb2.StoredPolicy
    revision: int


class PolicyStore(Protocol):
    """Policies with their last 50 versions, strictly serializable. All raise Unavailable.

    No two policies have the same id, or the same name.
    """

    async def insert(self, stored: stored_policy_pb2.StoredPolicy) -> VersionedPolicy:
        """Adds a policy and its first version. Raises AlreadyExists when the id or the name is taken."""

    async def get(self, policy_id: str) -> VersionedPolicy | None:
        """The policy, or None."""

    async def page(self, *, after_id: str, limit: int) -> tuple[Sequence[VersionedPolicy], bool]:
        """Up to `limit` policies after `after_id`, in the order of their ids; and whether there are more."""

    async def count(self) -> int:
        """How many there are."""

    async def owner_of(self, name: str) -> str:
        """The id of the policy of that name, empty when there is none."""

    async def replace(self, stored: stored_policy_pb2.StoredPolicy, *, current: VersionedPolicy) -> VersionedPolicy:
        """Writes it over `current`, adds a version, and forgets the one that is too old.

        Raises Stale when `current` is not the present one, and AlreadyExists when another policy has the name.
        """

    async def delete(self, current: VersionedPolicy) -> None:
        """Removes a policy with its versions. Raises Stale when `current` is not the present one."""

    async def versions(self, policy_id: str) -> Sequence[stored_policy_pb2.StoredPolicy]:
        """What is kept of the policy's versions, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """The enabled policies at a revision of the store. All their changes up to it are in, and none after it."""

    revision: int
    policies: PolicySet


class PolicyBook(Protocol):
    """The stored policies, compiled, at hand without waiting; a moment behind the store."""

    @property
    def edition(self) -> Edition | None:
        """The latest one; None until the policies were read. It never changes: judge a whole batch by one."""
