"""Which shards this process owns, and running a worker for each while it does."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from chronos.cluster.v1.cluster_pb2 import Member, ShardOwner

from libs.clock import Clock
from libs.etcd import keys
from libs.etcd.backoff import Backoff
from libs.etcd.lease import Lease
from libs.etcd.membership import MemberWatch
from libs.etcd.port import Etcd
from libs.etcd.rendezvous import shards_of
from libs.etcd.signals import Signal
from libs.etcd.transactions import Compare, Delete, Get, Put
from libs.etcd.values import Snapshot
from libs.faults import Unavailable
from libs.log import get_logger
from libs.process import wait_first

# A shard that somebody else holds is tried again when its key goes, and also this often.
RECHECK_INTERVAL = timedelta(seconds=5)
UNAVAILABLE_PAUSE = timedelta(milliseconds=100)
# A put that was not answered may still be done so many seconds later.
LONGEST_DOUBT = 60.0
DOUBT_INTERVAL = timedelta(seconds=1)
LONGEST_WORKER_PAUSE = timedelta(seconds=10)

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A shard that we own. `epoch` is greater than that of every earlier owner; `key` is to be compared in txns."""

    shard: int
    epoch: int
    key: bytes

    @property
    def holds(self) -> Compare:
        """What to compare in a transaction, so that it does nothing once the shard has another owner."""
        return Compare.create_revision_is(self.key, self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A put of our key under a lease of which nobody knows whether it was done, or will be until some moment."""

    lease: int
    until: float


@dataclass(slots=True, kw_only=True)
class _Shard:
    """What is known of one shard here."""

    number: int
    signal: Signal = field(default_factory=Signal)
    claim: Claim | None = None
    generation: int = 0
    """Of the lease that the claim was made under."""
    deleted_at: int = 0
    """Owner keys created up to this revision are gone."""
    has_key: bool = False
    """Whether our key may be in etcd, claimed or not."""
    doubt: Doubt | None = None


class ShardOwnership:
    """Takes the shards that the hash over live members gives to us, and gives up the others.

    At most one process has a valid claim to a shard: its key is put only where there is none, under a lease that we
    distrust before the server ends it, and a claim has ended before its key is deleted. A process that is paused in
    the midst of an action can still act late; the epoch, checked by what it acts upon, is against that.
    """

    def __init__(
        self,
        client: Etcd,
        lease: Lease,
        member_watch: MemberWatch,
        member: Member,
        shard_count: int,
        worker: Callable[[Claim], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """`worker` runs for each claim and is cancelled when the claim ends; it should not return before."""
        self._client = client
        self._lease = lease
        self._member_watch = member_watch
        self._member = member
        self._worker = worker
        self._clock = clock
        self._value = ShardOwner(instance=member.instance, replica=member.replica).SerializeToString()
        self._shards = [_Shard(number=number) for number in range(shard_count)]
        self._wanted: frozenset[int] = frozenset()
        self._is_handing_over = False
        self._given_up = Signal()

    @property
    def claims(self) -> dict[int, Claim]:
        """The claims by shard. Ask `is_valid` before acting on one."""
        return {shard.number: shard.claim for shard in self._shards if shard.claim}

    @property
    def wanted(self) -> frozenset[int]:
        """The shards that the hash gives to us; none while they are handed over."""
        return frozenset() if self._is_handing_over else self._wanted

    def is_valid(self, claim: Claim) -> bool:
        """Whether the claim holds now, by our own clock and by what etcd told."""
        shard = self._shards[claim.shard]
        return (
            shard.claim == claim
            and shard.generation == self._lease.generation
            and shard.deleted_at < claim.epoch
            and self._lease.is_trusted()
        )

    async def run(self) -> None:
        """Owns what it should; for ever. When it is cancelled the workers are cancelled too, and the keys remain."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_members())
            group.create_task(self._follow_lease())
            group.create_task(self._follow_keys())
            for shard in self._shards:
                group.create_task(self._tend(shard))

    async def hand_over(self) -> None:
        """Gives all shards up and takes none any more; returns when their keys are gone. For a drain.

        Deletes our member key first, so that the others may take the shards.
        """
        self._is_handing_over = True
        with suppress(Unavailable):
            await self._client.delete(keys.member(self._member.service, self._member.instance))
        self._look_again()
        while any(shard.has_key for shard in self._shards):
            await self._given_up.changed()

    def _look_again(self) -> None:
        for shard in self._shards:
            shard.signal.fire()

    async def _follow_members(self) -> None:
        seen = 0
        while True:
            seen = await self._member_watch.changed(seen)
            members = self._member_watch.members.values()
            self._wanted = shards_of(self._member.instance, members, len(self._shards))
            self._look_again()

    async def _follow_lease(self) -> None:
        while True:
            generation = await self._lease.acquired()
            self._look_again()
            await self._lease.lost(generation)
            self._look_again()

    async def _follow_keys(self) -> None:
        async for update in self._client.follow(keys.SHARDS, deletes_only=True):
            if isinstance(update, Snapshot):
                self._learn_snapshot(update)
                continue
            for event in update.events:
                number = keys.shard_of_owner(event.key)
                if number is not None and number < len(self._shards):
                    self._shards[number].deleted_at = event.mod_revision
                    self._shards[number].signal.fire()

    def _learn_snapshot(self, snapshot: Snapshot) -> None:
        created_at = {item.key: item.create_revision for item in snapshot.items}
        for shard in self._shards:
            there = created_at.get(keys.shard_owner(shard.number))
            shard.deleted_at = there - 1 if there else snapshot.revision
            shard.signal.fire()

    def _may_own(self, shard: _Shard) -> bool:
        return shard.number in self._wanted and not self._is_handing_over and self._lease.is_trusted()

    async def _tend(self, shard: _Shard) -> None:
        backoff = Backoff(LONGEST_WORKER_PAUSE)
        while True:
            seen = shard.signal.version
            if not self._may_own(shard):
                if await self._is_sure(shard):
                    await shard.signal.changed(seen)
                else:
                    await wait_first(shard.signal.changed(seen), self._clock.sleep(DOUBT_INTERVAL))
                continue
            claim = await self._acquire(shard)
            if claim is None:
                await wait_first(shard.signal.changed(seen), self._clock.sleep(RECHECK_INTERVAL))
            elif await self._hold(shard, claim):
                backoff.reset()
            else:
                await self._clock.sleep(backoff.next())

    async def _acquire(self, shard: _Shard) -> Claim | None:
        """Takes the shard, None if somebody else has it or etcd did not answer."""
        key, lease, generation = keys.shard_owner(shard.number), self._lease.id, self._lease.generation
        shard.has_key = True
        try:
            result = await self._client.txn([Compare.absent(key)], [Put(key, self._value, lease)], [Get(key)])
        except Unavailable:
            # If the put was done all the same, we find our key at the next attempt, or take it back.
            shard.doubt = Doubt(lease=lease, until=self._clock.monotonic() + LONGEST_DOUBT)
            self._forget(shard)
            await self._clock.sleep(UNAVAILABLE_PAUSE)
            shard.signal.fire()
            return None
        epoch = result.revision
        if not result.succeeded:
            found = result.responses[0].item
            if found is None or found.lease != lease:
                self._forget(shard)
                return None
            epoch = found.create_revision  # Ours, by an earlier attempt whose answer did not arrive.
        shard.generation = generation
        shard.claim = Claim(shard=shard.number, epoch=epoch, key=key)
        return shard.claim

    async def _is_sure(self, shard: _Shard) -> bool:
        """Whether no key of ours stands, or may come, where we do not want it. Takes back one that does.

        Nobody else would: it hangs on a lease that we keep alive.
        """
        doubt = shard.doubt
        if doubt is None:
            return True
        if doubt.lease != self._lease.id or self._clock.monotonic() > doubt.until:
            shard.doubt = None
            return True
        key = keys.shard_owner(shard.number)
        try:
            found = await self._client.get(key)
            if found is not None and found.lease == doubt.lease:
                await self._client.txn([Compare.create_revision_is(key, found.create_revision)], [Delete(key)])
                logger.info("shard given back that nobody knew was taken", shard=shard.number)
        except Unavailable:
            pass  # Looked at again.
        return False

    async def _hold(self, shard: _Shard, claim: Claim) -> bool:
        """Runs the worker until the claim ends, and gives the shard up. False: the worker failed."""
        logger.info("shard acquired", shard=claim.shard, epoch=claim.epoch)
        has_ended = True
        try:
            if self.is_valid(claim):
                has_ended = await wait_first(self._run_worker(claim), self._until_over(shard, claim)) == 1
        finally:
            # From here on the claim is not valid, so somebody else's may be as soon as the key is deleted.
            shard.claim = None
        await self._release(shard, claim)
        logger.info("shard given up", shard=claim.shard, epoch=claim.epoch)
        return has_ended

    async def _run_worker(self, claim: Claim) -> None:
        try:
            await self._worker(claim)
            logger.error("shard worker returned", shard=claim.shard, epoch=claim.epoch)
        except Unavailable as fault:
            logger.warning("shard is taken over again", shard=claim.shard, epoch=claim.epoch, error=fault.message)
        except Exception as error:
            logger.error("shard worker failed", shard=claim.shard, epoch=claim.epoch, exc_info=error)

    async def _until_over(self, shard: _Shard, claim: Claim) -> None:
        while self.is_valid(claim) and self._may_own(shard):
            await shard.signal.changed()

    async def _release(self, shard: _Shard, claim: Claim) -> None:
        """Deletes the key, unless it goes with its lease."""
        backoff = Backoff()
        while shard.generation == self._lease.generation and self._lease.is_trusted():
            try:
                await self._client.txn([claim.holds], [Delete(claim.key)])
                break
            except Unavailable:
                await self._clock.sleep(backoff.next())
        self._forget(shard)

    def _forget(self, shard: _Shard) -> None:
        shard.has_key = False
        self._given_up.fire()
