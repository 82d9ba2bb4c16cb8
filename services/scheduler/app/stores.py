"""What the scheduler keeps in etcd, and what of it every replica has at hand."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from libs.mesh import Node
from services.scheduler.adapters.etcd_calendars import EtcdCalendarBook, EtcdCalendarStore, EtcdJobScan
from services.scheduler.adapters.etcd_cancels import EtcdCancelStore
from services.scheduler.adapters.etcd_completions import EtcdCompletionStore
from services.scheduler.adapters.etcd_dependencies import EtcdDependants, EtcdDependencyStore
from services.scheduler.adapters.etcd_follow_ups import EtcdFollowUpStore
from services.scheduler.adapters.etcd_jobs import EtcdJobStore
from services.scheduler.adapters.etcd_namespaces import EtcdNamespaceBook, EtcdNamespaceStore
from services.scheduler.adapters.etcd_policy_book import EtcdPolicyBook, EtcdPolicyFinder
from services.scheduler.adapters.etcd_quotas import EtcdQuotaStore
from services.scheduler.adapters.etcd_rounds import EtcdRoundStore
from services.scheduler.adapters.etcd_shards import EtcdShardStore
from services.scheduler.adapters.etcd_triggers import EtcdTriggerStore
from services.scheduler.adapters.etcd_versions import EtcdVersionStore
from services.scheduler.adapters.sealed import NOTHING_SEALED, Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """One of each. The books follow etcd while `loops` run."""

    jobs: EtcdJobStore
    job_scan: EtcdJobScan
    versions: EtcdVersionStore
    triggers: EtcdTriggerStore
    cancels: EtcdCancelStore
    completions: EtcdCompletionStore
    shards: EtcdShardStore
    calendars: EtcdCalendarStore
    calendar_book: EtcdCalendarBook
    namespaces: EtcdNamespaceStore
    namespace_book: EtcdNamespaceBook
    dependencies: EtcdDependencyStore
    dependants: EtcdDependants
    follow_ups: EtcdFollowUpStore
    rounds: EtcdRoundStore
    quotas: EtcdQuotaStore
    policies: EtcdPolicyFinder
    policy_book: EtcdPolicyBook

    @property
    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What keeps the books up to date."""
        return {
            "calendars": self.calendar_book.run,
            "namespaces": self.namespace_book.run,
            "dependants": self.dependants.run,
            "policies": self.policy_book.run,
        }

    async def ready(self) -> None:
        """Waits until the books were read once: nothing may fire before."""
        while not self.calendar_book.version:
            await self.calendar_book.changed(0)
        await self.namespace_book.ready()
        await self.dependants.ready()
        await self.policy_book.ready()


def open_stores(node: Node, shard_count: int, sealed: Sealed = NOTHING_SEALED) -> Stores:
    """The stores of a replica."""
    etcd, lease = node.etcd, node.lease
    return Stores(
        jobs=EtcdJobStore(etcd, shard_count, sealed),
        job_scan=EtcdJobScan(etcd),
        versions=EtcdVersionStore(etcd, sealed),
        triggers=EtcdTriggerStore(etcd, shard_count, sealed),
        cancels=EtcdCancelStore(etcd, shard_count),
        completions=EtcdCompletionStore(etcd, shard_count),
        shards=EtcdShardStore(etcd, sealed),
        calendars=EtcdCalendarStore(etcd),
        calendar_book=EtcdCalendarBook(etcd),
        namespaces=EtcdNamespaceStore(etcd),
        namespace_book=EtcdNamespaceBook(etcd),
        dependencies=EtcdDependencyStore(etcd),
        dependants=EtcdDependants(etcd),
        follow_ups=EtcdFollowUpStore(etcd, shard_count),
        rounds=EtcdRoundStore(etcd, sealed),
        quotas=EtcdQuotaStore(etcd, node.member.instance, lambda: lease.id),
        policies=EtcdPolicyFinder(etcd),
        policy_book=EtcdPolicyBook(etcd),
    )
