"""What replicas have reserved of the quotas of namespaces, in etcd."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Delete, Get, GetPrefix, Operation, Put
from libs.faults import Unavailable
from services.scheduler.domain.quota import Share

HOUR_MEMORY = timedelta(hours=2)
MOST_TRIES = 20
SLOTS = "slots"


class EtcdQuotaStore:
    """See ports.QuotaStore. Slots are kept under the replica's lease, so they are free when it dies."""

    def __init__(self, etcd: Etcd, instance: str, lease_id: Callable[[], int]) -> None:
        """`lease_id` gives the present lease of this replica, 0 while there is none."""
        self._etcd = etcd
        self._instance = instance
        self._lease_id = lease_id

    async def reserve_executions(self, namespace: str, hour: str, *, wanted: int, quota: int) -> int:
        """See ports.QuotaStore. What is lost on the way counts as used."""
        key = keys.quota_hour(namespace, hour)
        for _ in range(MOST_TRIES):
            found = await self._etcd.get(key)
            used = int(found.value) if found is not None else 0
            taken = min(wanted, quota - used)
            if taken <= 0:
                return 0
            lease = found.lease if found is not None else await self._etcd.grant(HOUR_MEMORY)
            same = Compare.mod_revision_is(key, found.mod_revision if found is not None else 0)
            result = await self._etcd.txn([same], [Put(key, str(used + taken).encode(), lease)])
            if result.succeeded:
                return taken
            if found is None:
                await self._etcd.revoke(lease)
        raise Unavailable("the quota is being used by many schedulers at once; try again")

    async def shares(self, namespace: str) -> tuple[Mapping[str, Share], int]:
        """See ports.QuotaStore."""
        reads: list[Operation] = [GetPrefix(keys.quota_slots_of(namespace)), Get(keys.guard(SLOTS, namespace))]
        slots, guard = (await self._etcd.txn([], reads)).responses
        shares = {keys.last_part(item.key): _share(item.value) for item in slots.items}
        return shares, guard.item.mod_revision if guard.item is not None else 0

    async def put_share(self, namespace: str, share: Share, *, revision: int) -> bool:
        """See ports.QuotaStore."""
        lease, guard = self._lease_id(), keys.guard(SLOTS, namespace)
        key = keys.quota_slots(namespace, self._instance)
        if not lease:
            raise Unavailable("this scheduler has no lease at the moment")
        write: Operation = Delete(key) if share == Share() else Put(key, _text(share), lease)
        result = await self._etcd.txn([Compare.mod_revision_is(guard, revision)], [write, Put(guard, b"")])
        return result.succeeded


def _share(value: bytes) -> Share:
    reserved, waiting = value.split()
    return Share(reserved=int(reserved), waiting=int(waiting))


def _text(share: Share) -> bytes:
    return b"%d %d" % (share.reserved, share.waiting)
