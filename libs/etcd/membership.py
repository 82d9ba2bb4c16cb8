"""Which replicas of a service are alive, and saying that we are one of them."""

from collections.abc import Mapping
from types import MappingProxyType

from chronos.cluster.v1.cluster_pb2 import Member

from libs.clock import Clock, SystemClock
from libs.etcd import keys
from libs.etcd.backoff import Backoff
from libs.etcd.lease import Lease
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.etcd.values import Event, KeyValue, Snapshot
from libs.faults import Unavailable


class Membership:
    """Announces a running process under its lease, and again after each loss."""

    def __init__(self, client: Etcd, lease: Lease, member: Member, clock: Clock | None = None) -> None:
        self._client = client
        self._lease = lease
        self._member = member
        self._clock = clock or SystemClock()
        self._is_withdrawn = False

    async def run(self) -> None:
        """Keeps the member key there while there is a lease; for ever."""
        backoff = Backoff()
        while True:
            generation = await self._lease.acquired()
            try:
                await self._announce()
            except Unavailable:
                await self._clock.sleep(backoff.next())
                continue
            backoff.reset()
            await self._lease.lost(generation)

    async def withdraw(self) -> None:
        """Takes the announcement back: peers send nothing new and share our shards. For the start of a drain."""
        self._is_withdrawn = True
        try:
            await self._client.delete(self._key)
        except Unavailable:
            return  # The key goes with the lease.

    @property
    def _key(self) -> bytes:
        return keys.member(self._member.service, self._member.instance)

    async def _announce(self) -> None:
        if self._is_withdrawn:
            return
        await self._client.put(self._key, self._member.SerializeToString(), self._lease.id)
        if self._is_withdrawn:
            await self.withdraw()


class MemberWatch:
    """The live members of one service, as last told by etcd; while etcd is away they stay as they were."""

    def __init__(self, client: Etcd, service: str) -> None:
        self._client = client
        self._prefix = keys.members_of(service)
        self._members: dict[str, Member] = {}
        self._signal = Signal()

    @property
    def members(self) -> Mapping[str, Member]:
        """The members by instance. A live view."""
        return MappingProxyType(self._members)

    @property
    def version(self) -> int:
        """Grows with each change; 0 until the members are known."""
        return self._signal.version

    async def changed(self, seen: int | None = None) -> int:
        """Waits until `version` is not `seen` (by default the present one), and returns it."""
        return await self._signal.changed(seen)

    async def run(self) -> None:
        """Follows the members; for ever."""
        async for update in self._client.follow(self._prefix):
            if isinstance(update, Snapshot):
                self._members.clear()
                self._learn(update.items)
            else:
                self._learn(update.events)
            self._signal.fire()

    def _learn(self, items: tuple[KeyValue, ...] | tuple[Event, ...]) -> None:
        for item in items:
            instance = keys.last_part(item.key)
            if isinstance(item, Event) and item.is_delete:
                self._members.pop(instance, None)
            else:
                self._members[instance] = Member.FromString(item.value)
