"""Quotas without etcd."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.faults import Unavailable
from services.scheduler.domain.quota import Share


@dataclass
class FakeQuotas:
    """What all replicas have reserved. `is_away` makes every call fail."""

    hours: dict[tuple[str, str], int] = field(default_factory=dict)
    slots: dict[tuple[str, str], Share] = field(default_factory=dict)
    revision: int = 1
    is_away: bool = False

    def store_of(self, instance: str) -> "FakeQuotaStore":
        return FakeQuotaStore(self, instance)


class FakeQuotaStore:
    """One replica's view."""

    def __init__(self, shared: FakeQuotas, instance: str) -> None:
        self._shared = shared
        self._instance = instance

    async def reserve_executions(self, namespace: str, hour: str, *, wanted: int, quota: int) -> int:
        self._check()
        used = self._shared.hours.get((namespace, hour), 0)
        taken = max(0, min(wanted, quota - used))
        self._shared.hours[namespace, hour] = used + taken
        return taken

    async def shares(self, namespace: str) -> tuple[Mapping[str, Share], int]:
        self._check()
        shares = {instance: share for (space, instance), share in self._shared.slots.items() if space == namespace}
        return shares, self._shared.revision

    async def put_share(self, namespace: str, share: Share, *, revision: int) -> bool:
        self._check()
        if revision != self._shared.revision:
            return False
        self._shared.revision += 1
        self._shared.slots.pop((namespace, self._instance), None)
        if share != Share():
            self._shared.slots[namespace, self._instance] = share
        return True

    def _check(self) -> None:
        if self._shared.is_away:
            raise Unavailable("away")
