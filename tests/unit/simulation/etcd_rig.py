"""A simulated cluster on a simulated network, with clients and followers, for tests."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from libs.clock import SystemClock
from libs.etcd.client import Changes, Snapshot
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.faults import Unavailable
from tests.simulation.clock import NodeClock
from tests.simulation.etcd import MEMBERS, EtcdConditions, SimEtcd, SimEtcdClient
from tests.simulation.network import Network


class Rig:
    """A cluster on a network, with clients named a, b, c…"""

    def __init__(self, seed: int = 1, conditions: EtcdConditions | None = None) -> None:
        self.trace: list[str] = []
        self.network = Network(random.Random(seed), trace=self.note)
        self.etcd = SimEtcd(self.network, random.Random(seed + 1), conditions=conditions, trace=self.note)

    def note(self, event: str) -> None:
        self.trace.append(f"{now():.9f} {event}")

    def client(self, node: str = "a", member: int = 0) -> SimEtcdClient:
        dice = FixedDice(member)
        return SimEtcdClient(self.etcd, node, self.network, NodeClock(SystemClock().now), dice)

    def leader(self) -> str:
        leader = self.etcd.members.leader
        assert leader is not None
        return leader.name

    def isolate(self, name: str) -> None:
        self.network.partition([name], [member for member in MEMBERS if member != name])


class FixedDice(random.Random):
    """Chooses the member to begin with."""

    def __init__(self, member: int) -> None:
        super().__init__(1)
        self._member = member

    def randrange(self, *_: int) -> int:  # type: ignore[override]
        return self._member


def now() -> float:
    return asyncio.get_running_loop().time()


class Updates(list[Snapshot | Changes]):
    """What a follower was told."""

    def __init__(self) -> None:
        super().__init__()
        self.signal = Signal()

    async def follow(self, client: Etcd, prefix: bytes) -> None:
        async with aclosing(client.follow(prefix)) as stream:
            async for update in stream:
                self.append(update)
                self.signal.fire()

    async def reach(self, length: int) -> None:
        while len(self) < length:
            await self.signal.changed()


@asynccontextmanager
async def gathered(client: Etcd, prefix: bytes) -> AsyncIterator[Updates]:
    """What a follower is told, from its first snapshot on."""
    updates = Updates()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(updates.follow(client, prefix))
        await updates.reach(1)
        yield updates
        task.cancel()


def values(updates: Updates) -> list[bytes]:
    return [event.value for update in updates if isinstance(update, Changes) for event in update.events]


async def eventually_put(client: Etcd, key: bytes, value: bytes) -> int:
    while True:
        try:
            return await client.put(key, value)
        except Unavailable:
            await asyncio.sleep(0.05)
