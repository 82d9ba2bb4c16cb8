"""Policies in etcd, with their versions and names."""

from collections.abc import Sequence

from chronos.policy.v1 import stored_policy_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, DeletePrefix, Get, Operation, Put
from libs.etcd.values import KeyValue
from libs.faults import AlreadyExists, Stale
from services.policy.ports import VERSIONS_KEPT, VersionedPolicy

StoredPolicy = stored_policy_pb2.StoredPolicy


class EtcdPolicyStore:
    """See ports.PolicyStore."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def insert(self, stored: StoredPolicy) -> VersionedPolicy:
        """See ports.PolicyStore."""
        policy = stored.policy
        key, name_key = keys.policy(policy.id), keys.policy_name(policy.name)
        result = await self._etcd.txn(
            [Compare.absent(key), Compare.absent(name_key)],
            [*_puts(stored), Put(name_key, policy.id.encode())],
            [Get(key), Get(name_key)],
        )
        if result.succeeded:
            return VersionedPolicy(stored=stored, revision=result.revision)
        if result.responses[0].item is not None:
            raise AlreadyExists(
                f'there is a policy "{policy.id}" already; choose another id, or replace that one',
                metadata={"policy": policy.id},
            )
        raise _name_taken(policy.name, result.responses[1].item)

    async def get(self, policy_id: str) -> VersionedPolicy | None:
        """See ports.PolicyStore."""
        found = await self._etcd.get(keys.policy(policy_id))
        return _versioned(found) if found is not None else None

    async def page(self, *, after_id: str, limit: int) -> tuple[Sequence[VersionedPolicy], bool]:
        """See ports.PolicyStore."""
        after = keys.policy(after_id) if after_id else b""
        listing = await self._etcd.list_prefix(keys.POLICIES, after=after, limit=limit)
        return [_versioned(item) for item in listing.items], listing.has_more

    async def count(self) -> int:
        """See ports.PolicyStore."""
        return await self._etcd.count(keys.POLICIES)

    async def owner_of(self, name: str) -> str:
        """See ports.PolicyStore."""
        found = await self._etcd.get(keys.policy_name(name))
        return found.value.decode() if found is not None else ""

    async def replace(self, stored: StoredPolicy, *, current: VersionedPolicy) -> VersionedPolicy:
        """See ports.PolicyStore."""
        policy, old_name = stored.policy, current.stored.policy.name
        key, name_key = keys.policy(policy.id), keys.policy_name(policy.name)
        compares = [Compare.mod_revision_is(key, current.revision)]
        steps: list[Operation] = [*_puts(stored)]
        if (outdated := policy.version - VERSIONS_KEPT) >= 1:
            steps.append(Delete(keys.policy_version(policy.id, outdated)))
        if policy.name != old_name:
            compares.append(Compare.absent(name_key))
            steps += [Delete(keys.policy_name(old_name)), Put(name_key, policy.id.encode())]
        result = await self._etcd.txn(compares, steps, [Get(key), Get(name_key)])
        if result.succeeded:
            return VersionedPolicy(stored=stored, revision=result.revision)
        found = result.responses[0].item
        if found is None or found.mod_revision != current.revision:
            raise _stale(policy.id)
        raise _name_taken(policy.name, result.responses[1].item)

    async def delete(self, current: VersionedPolicy) -> None:
        """See ports.PolicyStore."""
        policy = current.stored.policy
        key = keys.policy(policy.id)
        steps: list[Operation] = [
            Delete(key),
            Delete(keys.policy_name(policy.name)),
            DeletePrefix(keys.policy_versions_of(policy.id)),
        ]
        result = await self._etcd.txn([Compare.mod_revision_is(key, current.revision)], steps)
        if not result.succeeded:
            raise _stale(policy.id)

    async def versions(self, policy_id: str) -> Sequence[StoredPolicy]:
        """See ports.PolicyStore."""
        listing = await self._etcd.list_prefix(keys.policy_versions_of(policy_id))
        return [StoredPolicy.FromString(item.value) for item in reversed(listing.items)]


def _puts(stored: StoredPolicy) -> tuple[Put, Put]:
    """Writes the policy and its version, which are the same bytes."""
    policy, value = stored.policy, stored.SerializeToString()
    return Put(keys.policy(policy.id), value), Put(keys.policy_version(policy.id, policy.version), value)


def _versioned(item: KeyValue) -> VersionedPolicy:
    return VersionedPolicy(stored=StoredPolicy.FromString(item.value), revision=item.mod_revision)


def _name_taken(name: str, entry: KeyValue | None) -> AlreadyExists:
    owner = entry.value.decode() if entry is not None else ""
    return AlreadyExists(
        f'the policy "{owner}" has the name "{name}" already; choose another name', metadata={"policy": owner}
    )


def _stale(policy_id: str) -> Stale:
    return Stale(
        f'the policy "{policy_id}" was changed by somebody else; get it again and repeat the change on its new etag'
    )
