"""Policies in memory, where policy keeps them."""

from collections.abc import Sequence

from chronos.policy.v1 import stored_policy_pb2

from libs.faults import AlreadyExists, Stale
from services.policy.ports import VERSIONS_KEPT, VersionedPolicy

StoredPolicy = stored_policy_pb2.StoredPolicy


class FakePolicyStore:
    """Policies in a dict; revisions count up. `fail_once` is raised by the next call that writes."""

    def __init__(self) -> None:
        self.fail_once: Exception | None = None
        self._policies: dict[str, VersionedPolicy] = {}
        self._versions: dict[str, list[StoredPolicy]] = {}
        self._revision = 100

    async def insert(self, stored: StoredPolicy) -> VersionedPolicy:
        self._arrive()
        if stored.policy.id in self._policies:
            raise AlreadyExists(f'there is a policy "{stored.policy.id}" already')
        self._check_name(stored)
        return self._put(stored)

    async def get(self, policy_id: str) -> VersionedPolicy | None:
        return self._policies.get(policy_id)

    async def page(self, *, after_id: str, limit: int) -> tuple[Sequence[VersionedPolicy], bool]:
        left = [name for name in sorted(self._policies) if name > after_id]
        return [self._policies[name] for name in left[:limit]], len(left) > limit

    async def count(self) -> int:
        return len(self._policies)

    async def owner_of(self, name: str) -> str:
        return next((key for key, found in self._policies.items() if found.stored.policy.name == name), "")

    async def replace(self, stored: StoredPolicy, *, current: VersionedPolicy) -> VersionedPolicy:
        self._arrive()
        self._check(current)
        self._check_name(stored)
        return self._put(stored)

    async def delete(self, current: VersionedPolicy) -> None:
        self._arrive()
        self._check(current)
        del self._policies[current.stored.policy.id]
        del self._versions[current.stored.policy.id]

    async def versions(self, policy_id: str) -> Sequence[StoredPolicy]:
        return self._versions.get(policy_id, [])[::-1]

    def _put(self, stored: StoredPolicy) -> VersionedPolicy:
        self._revision += 1
        copy = StoredPolicy()
        copy.CopyFrom(stored)
        self._policies[copy.policy.id] = VersionedPolicy(stored=copy, revision=self._revision)
        kept = [*self._versions.get(copy.policy.id, []), copy]
        self._versions[copy.policy.id] = kept[-VERSIONS_KEPT:]
        return self._policies[copy.policy.id]

    def _arrive(self) -> None:
        failure, self.fail_once = self.fail_once, None
        if failure is not None:
            raise failure

    def _check(self, current: VersionedPolicy) -> None:
        known = self._policies.get(current.stored.policy.id)
        if known is None or known.revision != current.revision:
            raise Stale("changed")

    def _check_name(self, stored: StoredPolicy) -> None:
        for policy_id, found in self._policies.items():
            if found.stored.policy.name == stored.policy.name and policy_id != stored.policy.id:
                raise AlreadyExists(f'the policy "{policy_id}" has the name')
