"""Replicas of a scheduler without the scheduler: lease, membership and ownership over some etcd."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from chronos.cluster.v1.cluster_pb2 import Member

from libs.clock import Clock
from libs.etcd.lease import Lease
from libs.etcd.membership import Membership, MemberWatch
from libs.etcd.ownership import Claim, ShardOwnership
from libs.etcd.port import Etcd

SERVICE = "scheduler"
TTL = timedelta(seconds=2)


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Runs loops that never end until the block does."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop) for loop in loops]
        yield tasks
        for task in tasks:
            task.cancel()


class Replica:
    """One process of a service whose workers do nothing but hold their shards."""

    def __init__(
        self,
        client: Etcd,
        clock: Clock,
        replica: str,
        *,
        shard_count: int = 64,
        instance: str = "",
        ttl: timedelta = TTL,
    ) -> None:
        self.client = client
        self.member = Member(service=SERVICE, instance=instance or f"{replica}-x1", replica=replica)
        self.member.started_at.FromDatetime(clock.now())
        self.lease = Lease(client, ttl, clock)
        self.membership = Membership(client, self.lease, self.member, clock)
        self.watch = MemberWatch(client, SERVICE)
        self.ownership = ShardOwnership(client, self.lease, self.watch, self.member, shard_count, self._work, clock)
        self.working: dict[int, Claim] = {}
        self.epochs: list[tuple[int, int]] = []
        self.on_work: Callable[[Claim], None] = lambda _: None
        self.on_end: Callable[[], Awaitable[None]] = _at_once

    @property
    def owned(self) -> set[int]:
        """The shards whose claims hold and whose workers run."""
        return {shard for shard, claim in self.working.items() if self.ownership.is_valid(claim)}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for loop in (self.lease.run, self.membership.run, self.watch.run, self.ownership.run):
                group.create_task(loop())

    async def _work(self, claim: Claim) -> None:
        self.epochs.append((claim.shard, claim.epoch))
        self.on_work(claim)
        self.working[claim.shard] = claim
        try:
            await asyncio.Event().wait()
        finally:
            del self.working[claim.shard]
            await self.on_end()


def all_owned_once(replicas: Sequence[Replica], shard_count: int) -> bool:
    """Whether each shard has exactly one owner. Fails when one has two."""
    claims = [
        claim.shard
        for replica in replicas
        for claim in replica.ownership.claims.values()
        if replica.ownership.is_valid(claim)
    ]
    assert len(claims) == len(set(claims)), "a shard has two valid claims"
    return sum(len(replica.owned) for replica in replicas) == shard_count


async def _at_once() -> None:
    """Ends a worker without delay."""
