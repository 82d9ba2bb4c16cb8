"""A mirror of what the stored policies apply to, and the policies themselves when they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from chronos.policy.v1 import policy_pb2, stored_policy_pb2
from google.protobuf.message import DecodeError

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.etcd.values import Changes, Snapshot
from libs.log import get_logger
from services.scheduler.ports.policies import Operation

Policy = policy_pb2.Policy
EVERYTHING = frozenset({"now", "load", "endpoint", "timing", "calendars"})
OPERATIONS_OF: Mapping["Policy.Type.ValueType", frozenset[Operation]] = {
    Policy.TYPE_UNSPECIFIED: frozenset({Policy.CREATE, Policy.UPDATE, Policy.DELETE, Policy.ENABLE}),
    Policy.JOB: frozenset({Policy.CREATE, Policy.UPDATE, Policy.DELETE, Policy.ENABLE}),
    Policy.EXECUTION: frozenset({Policy.RUN, Policy.TRIGGER, Policy.REPLAY, Policy.BACKFILL}),
    Policy.CLUSTER: frozenset({Policy.CALENDAR, Policy.NAMESPACE}),
}
HARMLESS = (Policy.ALLOW, Policy.WARN, Policy.AUDIT)
ANY_OPERATION: frozenset[Operation] = frozenset().union(*OPERATIONS_OF.values())
logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """What a policy applies to, and what its rules look at. Empty `namespaces` and `tags` mean all."""

    operations: frozenset[Operation] = ANY_OPERATION
    namespaces: frozenset[str] = frozenset()
    tags: tuple[tuple[str, str], ...] = ()
    uses: frozenset[str] = EVERYTHING
    can_deny: bool = True

    def has_tags(self, tags: Mapping[str, str]) -> bool:
        """Whether these are tags of a job that it judges."""
        return all(name in tags and value in ("", tags[name]) for name, value in self.tags)


_UNREADABLE = _Scope()


class EtcdPolicyBook:
    """See ports.PolicyBook. Kept up to date by `run`; while etcd is away it stays as it was.

    A policy that cannot be read applies to everything: the policy service says what becomes of that.
    """

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._revision = 0
        self._scopes: dict[str, _Scope | None] = {}
        """None for those that are disabled."""
        self._found: dict[tuple[Operation, str], tuple[_Scope, ...]] = {}
        """What applies to an operation in a namespace, looked up once after each change."""
        self._signal = Signal()

    @property
    def revision(self) -> int:
        """See ports.PolicyBook."""
        return self._revision

    def uses(self, operation: Operation, namespace: str, tags: Mapping[str, str]) -> frozenset[str] | None:
        """See ports.PolicyBook."""
        if not self._signal.version:
            return EVERYTHING
        uses = [scope.uses for scope in self._applying(operation, namespace) if scope.has_tags(tags)]
        return frozenset().union(*uses) if uses else None

    def can_deny(self, operation: Operation, namespace: str, tags: Mapping[str, str]) -> bool:
        """See ports.PolicyBook."""
        if not self._signal.version:
            return True
        return any(scope.can_deny and scope.has_tags(tags) for scope in self._applying(operation, namespace))

    async def ready(self) -> None:
        """Waits until the policies were read once."""
        while not self._signal.version:
            await self._signal.changed()

    async def run(self) -> None:
        """Follows the policies; for ever."""
        async for update in self._etcd.follow(keys.POLICIES):
            if isinstance(update, Snapshot):
                self._replace(update)
            else:
                self._change(update)
            self._found.clear()
            self._signal.fire()

    def _applying(self, operation: Operation, namespace: str) -> tuple[_Scope, ...]:
        """What applies whatever the tags."""
        scopes = self._found.get((operation, namespace))
        if scopes is None:
            scopes = self._found[operation, namespace] = self._look_up(operation, namespace)
        return scopes

    def _look_up(self, operation: Operation, namespace: str) -> tuple[_Scope, ...]:
        return tuple(
            scope
            for scope in self._scopes.values()
            if scope is not None
            and operation in scope.operations
            and (not scope.namespaces or namespace in scope.namespaces)
        )

    def _replace(self, snapshot: Snapshot) -> None:
        """The revision is that of the last change that can be told: who answers may know of no later one.

        A policy that has gone since the last look went at a later revision than was known, so that one more is right.
        """
        scopes = {keys.last_part(item.key): _scope(item.key, item.value) for item in snapshot.items}
        gone = 1 if self._scopes.keys() - scopes.keys() else 0
        self._revision = max([self._revision + gone, *(item.mod_revision for item in snapshot.items)])
        self._scopes = scopes

    def _change(self, changes: Changes) -> None:
        for event in changes.events:
            name = keys.last_part(event.key)
            if event.is_delete:
                self._scopes.pop(name, None)
            else:
                self._scopes[name] = _scope(event.key, event.value)
            self._revision = max(self._revision, event.mod_revision)


class EtcdPolicyFinder:
    """See ports.PolicyFinder."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def find(self, policy_id: str) -> stored_policy_pb2.StoredPolicy | None:
        """See ports.PolicyFinder."""
        found = await self._etcd.get(keys.policy(policy_id))
        return stored_policy_pb2.StoredPolicy.FromString(found.value) if found is not None else None


def _scope(key: bytes, value: bytes) -> _Scope | None:
    try:
        stored = stored_policy_pb2.StoredPolicy.FromString(value)
    except DecodeError:
        logger.error("stored policy is unreadable", key=key.decode(errors="replace"))
        return _UNREADABLE
    policy = stored.policy
    if policy.HasField("enabled") and not policy.enabled:
        return None
    return _Scope(
        operations=frozenset(policy.operations) or OPERATIONS_OF.get(policy.type, ANY_OPERATION),
        namespaces=frozenset(policy.namespaces),
        tags=tuple(sorted(policy.tags.items())),
        uses=frozenset(stored.uses),
        can_deny=any((rule.action or policy.action) not in HARMLESS for rule in policy.rules),
    )
