"""A mirror of the stored policies, compiled."""

from collections.abc import Iterable
from dataclasses import replace

from chronos.policy.v1 import policy_pb2, stored_policy_pb2
from google.protobuf.message import DecodeError

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.etcd.values import Event, KeyValue, Snapshot
from libs.log import get_logger
from services.policy import metrics
from services.policy.convert import compiled_from, scope_from
from services.policy.domain.compiled import CompiledPolicy, PolicyError, compile_policy
from services.policy.domain.judging import PolicySet
from services.policy.domain.policy import Action, Expression, Policy, Rule, Severity
from services.policy.ports import Edition

NEVER = Expression("false")
logger = get_logger()


class EtcdPolicyBook:
    """See ports.PolicyBook. Kept up to date by `run`; while etcd is away it stays as it was.

    A policy that this release cannot read, because a newer one wrote it, refuses whatever it applies to.
    """

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._compiled: dict[str, tuple[CompiledPolicy, ...]] = {}
        self._unreadable: set[str] = set()
        self._edition: Edition | None = None
        self._signal = Signal()

    @property
    def edition(self) -> Edition | None:
        """See ports.PolicyBook."""
        return self._edition

    async def changed(self, seen: Edition | None) -> Edition:
        """Waits for another edition than `seen`, and gives it."""
        while self._edition is None or self._edition is seen:
            await self._signal.changed()
        return self._edition

    async def run(self) -> None:
        """Follows the policies; for ever."""
        async for update in self._etcd.follow(keys.POLICIES):
            known = set(self._compiled)
            if isinstance(update, Snapshot):
                self._compiled.clear()
                self._unreadable.clear()
                self._learn(update.items)
            else:
                self._learn(update.events)
            metrics.forget(known - set(self._compiled))
            self._publish(update.revision)

    def _learn(self, items: Iterable[KeyValue | Event]) -> None:
        for item in items:
            policy_id = keys.last_part(item.key)
            self._compiled.pop(policy_id, None)
            self._unreadable.discard(policy_id)
            if not (isinstance(item, Event) and item.is_delete):
                self._compiled[policy_id] = self._read(policy_id, item.value)

    def _publish(self, revision: int) -> None:
        compiled = (one for policies in self._compiled.values() for one in policies)
        self._edition = Edition(revision=revision, policies=PolicySet(compiled))
        metrics.STORED.set(len(self._compiled))
        metrics.UNREADABLE.set(len(self._unreadable))
        self._signal.fire()

    def _read(self, policy_id: str, value: bytes) -> tuple[CompiledPolicy, ...]:
        message = policy_pb2.Policy(id=policy_id)
        try:
            message = stored_policy_pb2.StoredPolicy.FromString(value).policy
            return (compiled_from(message),)
        except (DecodeError, PolicyError) as error:
            if message.HasField("enabled") and not message.enabled:
                return ()
            logger.error("stored policy is unreadable", policy=policy_id, error=str(error))
            self._unreadable.add(policy_id)
            return tuple(_refusing(policy) for policy in scope_from(message))


def _refusing(policy: Policy) -> CompiledPolicy:
    """A policy that refuses whatever it applies to: it stands in for one whose rules cannot be read."""
    rule = Rule(
        id="unreadable",
        name="unreadable",
        condition=NEVER,
        message=f'the policy "{policy.id}" cannot be read by this release; upgrade the policy service, or disable it',
        action=Action.DENY,
    )
    return compile_policy(replace(policy, severity=Severity.ERROR, action=Action.DENY, rules=(rule,)))
