"""Policies: create, look up, change, enable, roll back."""

from collections.abc import Callable, Sequence

from chronos.policy.v1 import policy_pb2, stored_policy_pb2

from libs.clock import Clock
from libs.faults import AlreadyExists, InvalidArgument, LimitReached, NotFound, Stale
from libs.paging import decode_token, encode_token, page_size
from services.policy.ports import PolicyStore, VersionedPolicy
from services.policy.reading import read_policy

MOST_TRIES = 8
MOST_ANSWERED_BYTES = 6 * 1024 * 1024
"""A gRPC message holds 8 MiB."""
SHIPPED_BY = "chronos"
Policy = policy_pb2.Policy
StoredPolicy = stored_policy_pb2.StoredPolicy
Step = Callable[[StoredPolicy], StoredPolicy | None]
"""What is to be stored in place of a policy; None when it is as it should be."""


class Policies:
    """The policies of the cluster."""

    def __init__(self, store: PolicyStore, clock: Clock, *, max_policies: int) -> None:
        self._store = store
        self._clock = clock
        self._max_policies = max_policies

    async def create(self, wish: Policy, *, validate_only: bool, author: str) -> Policy:
        """Adds a policy. Raises InvalidArgument, AlreadyExists, or LimitReached when there are very many."""
        stored = self._signed(read_policy(wish), None, author)
        if (count := await self._store.count()) >= self._max_policies:
            raise LimitReached(
                f"there are {count:,} policies and max_policies is {self._max_policies:,}; delete some, or put the "
                "rules of several into one",
                reason="TOO_MANY_POLICIES",
            )
        if not validate_only:
            return _public(await self._store.insert(stored))
        if await self._store.get(stored.policy.id) is not None:
            raise AlreadyExists(
                f'there is a policy "{stored.policy.id}" already; choose another id, or replace that one'
            )
        await self._check_name(stored.policy)
        return _public(VersionedPolicy(stored=stored, revision=0))

    async def ship(self, policy: Policy) -> None:
        """Adds a policy of ours, unless its id is taken. Raises AlreadyExists when its name is."""
        if await self._store.get(policy.id) is None:
            await self._store.insert(self._signed(read_policy(policy), None, SHIPPED_BY))

    async def get(self, policy_id: str) -> Policy:
        """Looks up a policy. Raises NotFound."""
        return _public(await self._find(policy_id))

    async def list(self, *, size: int, token: str) -> tuple[Sequence[Policy], str]:
        """One page of policies, shorter when they are very large, and the token of the next one."""
        query = ["policies"]
        position = decode_token(token, query=query)
        after = str(position[0]) if position else ""
        page, has_more = await self._store.page(after_id=after, limit=page_size(size))
        found = _fitting([_public(versioned) for versioned in page])
        has_more = has_more or len(found) < len(page)
        return found, encode_token([found[-1].id], query=query) if has_more else ""

    async def replace(self, policy_id: str, wish: Policy, *, validate_only: bool, author: str) -> Policy:
        """Puts a whole new policy in place. Raises NotFound, InvalidArgument, AlreadyExists (its name) or Stale."""
        if wish.id not in ("", policy_id):
            raise InvalidArgument.of("id", f'cannot be changed; write "{policy_id}", or create another policy')
        new = _copy(wish)
        new.id = policy_id
        return await self._change(
            policy_id, lambda _: read_policy(new), etag=wish.etag, validate_only=validate_only, author=author
        )

    async def enable(self, policy_id: str, *, author: str) -> Policy:
        """Lets it judge. Raises NotFound, or InvalidArgument for one that this release cannot read."""

        def enabled(stored: StoredPolicy) -> StoredPolicy | None:
            return read_policy(_with_enabled(stored, True).policy) if not stored.policy.enabled else None

        return await self._change(policy_id, enabled, author=author)

    async def disable(self, policy_id: str, *, author: str) -> Policy:
        """Keeps it from judging, also one that this release cannot read. Raises NotFound."""

        def disabled(stored: StoredPolicy) -> StoredPolicy | None:
            return _with_enabled(stored, False) if stored.policy.enabled else None

        return await self._change(policy_id, disabled, author=author)

    async def rollback(self, policy_id: str, version: int, *, author: str) -> Policy:
        """Makes it what it was at a version, with its name and whether it was enabled, as a new version.

        Raises NotFound, or AlreadyExists when another policy has that name by now.
        """
        kept = {stored.policy.version: stored.policy for stored in await self._kept(policy_id)}
        if version not in kept:
            raise NotFound(
                f'version {version} of the policy "{policy_id}" is not there; there is {min(kept)} to {max(kept)}',
                metadata={"policy": policy_id, "version": str(version)},
            )
        return await self._change(policy_id, lambda _: read_policy(kept[version]), author=author)

    async def delete(self, policy_id: str, *, etag: str) -> None:
        """Removes a policy with its versions. Raises NotFound or Stale."""
        for _ in range(MOST_TRIES):
            current = await self._find(policy_id)
            _check_etag(etag, current)
            try:
                return await self._store.delete(current)
            except Stale:
                continue
        raise _contended(policy_id)

    async def versions(self, policy_id: str) -> Sequence[Policy]:
        """The kept versions, newest first; of very large ones as many as fit into an answer. Raises NotFound."""
        return _fitting([stored.policy for stored in await self._kept(policy_id)])

    async def _kept(self, policy_id: str) -> Sequence[StoredPolicy]:
        await self._find(policy_id)
        return await self._store.versions(policy_id)

    async def _find(self, policy_id: str) -> VersionedPolicy:
        found = await self._store.get(policy_id)
        if found is None:
            raise NotFound(f'there is no policy "{policy_id}"', metadata={"policy": policy_id})
        return found

    async def _change(
        self, policy_id: str, step: Step, *, author: str, etag: str = "", validate_only: bool = False
    ) -> Policy:
        """Takes a step from the present policy, and again when somebody else was faster."""
        for _ in range(MOST_TRIES):
            current = await self._find(policy_id)
            _check_etag(etag, current)
            next_one = step(current.stored)
            if next_one is None:
                return _public(current)
            stored = self._signed(next_one, current.stored.policy, author)
            if validate_only:
                await self._check_name(stored.policy)
                return _public(VersionedPolicy(stored=stored, revision=current.revision))
            try:
                return _public(await self._store.replace(stored, current=current))
            except Stale:
                if etag:
                    raise
        raise _contended(policy_id)

    async def _check_name(self, policy: Policy) -> None:
        owner = await self._store.owner_of(policy.name)
        if owner not in ("", policy.id):
            raise AlreadyExists(
                f'the policy "{owner}" has the name "{policy.name}" already; choose another name',
                metadata={"policy": owner},
            )

    def _signed(self, stored: StoredPolicy, current: Policy | None, author: str) -> StoredPolicy:
        """The same with when, by whom, and the number of its version."""
        policy = stored.policy
        policy.ClearField("etag")
        policy.updated_at.FromDatetime(self._clock.now())
        policy.created_at.CopyFrom(current.created_at if current is not None else policy.updated_at)
        policy.updated_by = author
        policy.version = current.version + 1 if current is not None else 1
        return stored


def _copy(policy: Policy) -> Policy:
    copy = Policy()
    copy.CopyFrom(policy)
    return copy


def _with_enabled(stored: StoredPolicy, enabled: bool) -> StoredPolicy:
    copy = StoredPolicy()
    copy.CopyFrom(stored)
    copy.policy.enabled = enabled
    return copy


def _public(found: VersionedPolicy) -> Policy:
    policy = _copy(found.stored.policy)
    policy.etag = str(found.revision)
    return policy


def _fitting(policies: Sequence[Policy]) -> Sequence[Policy]:
    """The first ones, as many as an answer holds; at least one."""
    left = MOST_ANSWERED_BYTES
    for index, policy in enumerate(policies):
        left -= policy.ByteSize()
        if left < 0 and index:
            return policies[:index]
    return policies


def _check_etag(etag: str, current: VersionedPolicy) -> None:
    if etag and etag != str(current.revision):
        raise Stale("the policy was changed by somebody else; get it again and repeat the change on its new etag")


def _contended(policy_id: str) -> Stale:
    return Stale(f'the policy "{policy_id}" is being changed by many callers at once; try again')
