"""What etcd never does, looked for while everything fails at random."""

import asyncio
import random
from contextlib import aclosing
from datetime import timedelta

import pytest

from libs.clock import SystemClock
from libs.etcd.client import Compare, LeaseLost, Put, Snapshot
from libs.faults import Unavailable
from tests.simulation.clock import NodeClock
from tests.simulation.etcd import MEMBERS, EtcdConditions, SimEtcd, SimEtcdClient
from tests.simulation.network import Network
from tests.unit.simulation.rig import simulated

NODES = tuple(f"node-{number}" for number in range(5))
TTL = timedelta(seconds=3)
CALM_SECONDS = 60.0


class Chaos:
    """Clients that count, hold leases and mirror, on a cluster that fails."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.network = Network(random.Random(seed + 1))
        conditions = EtcdConditions(late_watch_chance=0.2)
        self.etcd = SimEtcd(self.network, random.Random(seed + 2), conditions=conditions)
        self.clients = [self.client(node) for node in NODES]
        self.least = 0
        self.acknowledged: list[int] = []
        self.unknown = 0
        self.mirrors: list[dict[bytes, bytes]] = [{} for _ in NODES]
        self.is_over = False

    def client(self, node: str) -> SimEtcdClient:
        return SimEtcdClient(
            self.etcd, node, self.network, NodeClock(SystemClock().now), random.Random(f"{node} {self.dice.random()}")
        )

    async def count(self, client: SimEtcdClient) -> None:
        """Adds one at a time; what was acknowledged is in every later read."""
        while not self.is_over:
            least = self.least
            try:
                found = await client.get(b"/n")
                seen = int(found.value) if found else 0
                assert seen >= least
                was = found.mod_revision if found else 0
                step = await client.txn([Compare.mod_revision_is(b"/n", was)], [Put(b"/n", b"%d" % (seen + 1))])
            except Unavailable:
                self.unknown += 1
            else:
                if step.succeeded:
                    self.acknowledged.append(seen + 1)
                    self.least = max(self.least, seen + 1)
            await asyncio.sleep(0.05)

    async def live(self, client: SimEtcdClient, node: str) -> None:
        """Keeps a key by a lease; it is there for as long as the lease was confirmed."""
        while not self.is_over:
            try:
                lease = await client.grant(TTL)
                key = b"/live/%s/%d" % (node.encode(), lease)
                await client.put(key, b"", lease)
                while not self.is_over:
                    sent = now()
                    if not await client.keep_alive(lease):
                        break
                    await asyncio.sleep(self.dice.random())
                    if now() < sent + TTL.total_seconds():
                        assert self.etcd.store.get(key) is not None
            except LeaseLost:
                continue
            except Unavailable:
                await asyncio.sleep(0.1)

    async def mirror(self, client: SimEtcdClient, copy: dict[bytes, bytes]) -> None:
        """Follows everything; revisions only grow, and the counter with them."""
        revision = 0
        async with aclosing(client.follow(b"/")) as updates:
            async for update in updates:
                assert update.revision > revision or isinstance(update, Snapshot)
                assert update.revision >= revision
                revision = update.revision
                if isinstance(update, Snapshot):
                    copy.clear()
                    copy.update({item.key: item.value for item in update.items})
                    continue
                for event in update.events:
                    if event.key == b"/n":
                        assert int(event.value) == int(copy.get(b"/n", b"0")) + 1
                    if event.is_delete:
                        del copy[event.key]
                    else:
                        copy[event.key] = event.value

    async def fail(self, seconds: float) -> None:
        """Breaks things at random, then heals all."""
        end = now() + seconds
        while now() < end:
            self.break_something()
            await asyncio.sleep(self.dice.uniform(0.1, 3.0))
        self.network.heal_all()
        for name in MEMBERS:
            self.etcd.restart(name)
            self.etcd.resume(name)
            self.etcd.slow(name, 0.0)
            self.etcd.lag(name, 0.0)
        self.etcd.delay_watches(0.0)

    def break_something(self) -> None:
        dice, etcd, name = self.dice, self.etcd, self.dice.choice(MEMBERS)
        a, b = dice.sample([*NODES, *MEMBERS], 2)
        dice.choice(
            (
                lambda: etcd.kill(name),
                lambda: etcd.restart(name),
                lambda: etcd.restart(name),
                lambda: etcd.pause(name),
                lambda: etcd.resume(name),
                lambda: etcd.resume(name),
                lambda: etcd.slow(name, dice.choice((0.0, 8.0))),
                lambda: etcd.lag(name, dice.choice((0.0, 4.0))),
                lambda: etcd.cancel_watches(name),
                lambda: etcd.delay_watches(dice.choice((0.0, 2.0))),
                lambda: etcd.lose_answers(3),
                etcd.lose_leader,
                etcd.compact,
                lambda: self.network.cut(a, b, is_one_way=dice.random() < 0.5),
                lambda: self.network.partition([name], [m for m in MEMBERS if m != name]),
                self.network.heal_all,
                lambda: self.network.slow(a, b, dice.choice((0.0, 0.5))),
            )
        )()


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("seed", range(6))
def test_no_write_is_lost_no_read_goes_back_and_no_event_is_missed(seed: int) -> None:
    @simulated
    async def play() -> None:
        chaos = Chaos(seed)
        async with asyncio.TaskGroup() as group:
            mirrors = [
                group.create_task(chaos.mirror(client, copy))
                for client, copy in zip(chaos.clients, chaos.mirrors, strict=True)
            ]
            for client, node in zip(chaos.clients, NODES, strict=True):
                group.create_task(chaos.count(client))
                group.create_task(chaos.live(client, node))
            await chaos.fail(60)
            chaos.is_over = True
            await asyncio.sleep(CALM_SECONDS)
            for mirror in mirrors:
                mirror.cancel()
        check(chaos)

    play()


def check(chaos: Chaos) -> None:
    listing = chaos.etcd.store.list_prefix(b"/", b"", 0, keys_only=False)
    expected = {item.key: item.value for item in listing.items}
    assert chaos.mirrors == [expected] * len(NODES)
    assert len(chaos.acknowledged) > 50
    assert len(chaos.acknowledged) == len(set(chaos.acknowledged))
    assert len(chaos.acknowledged) <= int(expected[b"/n"]) <= len(chaos.acknowledged) + chaos.unknown
