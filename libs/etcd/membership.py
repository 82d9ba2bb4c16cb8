"""Which replicas of a service are alive, and saying that we are one of them."""

from collections.abc import Mapping

from chronos.cluster.v1.cluster_pb2 import Member

from libs.clock import Clock, SystemClock
from libs.etcd import keys
from libs.etcd.backoff import Backoff
from libs.etcd.lease import Lease
from libs.etcd.mirror import Mirror
from libs.etcd.port import Etcd
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
        self._mirror = Mirror(client, keys.members_of(service), Member.FromString)

    @property
    def members(self) -> Mapping[str, Member]:
        """The members by instance. A live view."""
        return self._mirror.values

    @property
    def version(self) -> int:
        """Grows with each change; 0 until the members are known."""
        return self._mirror.version

    async def changed(self, seen: int | None = None) -> int:
        """Waits until `version` is not `seen` (by default the present one), and returns it."""
        return await self._mirror.changed(seen)

    async def run(self) -> None:
        """Follows the members; for ever."""
        await self._mirror.run()
