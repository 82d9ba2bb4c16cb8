"""A lease that a process lives by, kept alive and distrusted by the process's own clock."""

from datetime import timedelta

from libs.clock import Clock
from libs.etcd.backoff import Backoff
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.faults import Unavailable
from libs.log import get_logger
from libs.process import wait_first

KEEP_ALIVES_PER_TTL = 4
# Trust ends this part of the TTL early, so that what relied on the lease has stopped when the server ends it.
MARGIN_PER_TTL = 5
SHORTEST_NAP = timedelta(milliseconds=1)

logger = get_logger()


class Lease:
    """The one lease of a process: its membership and its shards hang on it, so they end together.

    The server counts the TTL from when a keep-alive arrives; we count from when the last confirmed one was *sent*, less
    a margin. So we always stop trusting first, also when the process was paused or etcd is away. A lease once
    distrusted is never used again: it is revoked when etcd answers, and the next one has a new id and generation.
    """

    def __init__(self, client: Etcd, ttl: timedelta, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._ttl = ttl
        self._id = 0
        self._stale_id = 0
        self._generation = 0
        self._trusted_until = 0.0
        self._signal = Signal()

    @property
    def id(self) -> int:
        """What to put keys under; 0 while there is none."""
        return self._id

    @property
    def generation(self) -> int:
        """Counts the leases that were granted."""
        return self._generation

    def is_trusted(self) -> bool:
        """Whether the server cannot have ended the lease yet, by our own clock."""
        return self._id != 0 and self._clock.monotonic() < self._trusted_until

    async def acquired(self) -> int:
        """Waits until there is a lease and returns its generation."""
        while not self._id:
            await self._signal.changed()
        return self._generation

    async def lost(self, generation: int) -> None:
        """Waits until the lease of that generation is lost or not trusted any more."""
        while self._id and self._generation == generation:
            await self._signal.changed()

    async def run(self) -> None:
        """Takes a lease, keeps it alive, takes another after a loss; for ever."""
        backoff = Backoff()
        while True:
            try:
                await self._take()
            except Unavailable:
                await self._clock.sleep(backoff.next())
                continue
            backoff.reset()
            logger.info("lease taken", lease=f"{self._id:x}", generation=self._generation)
            try:
                await wait_first(self._keep(), self._until_distrusted())
                logger.warning("lease lost", lease=f"{self._id:x}", generation=self._generation)
            finally:
                self._drop()

    async def close(self) -> None:
        """Revokes the lease, so that everybody sees at once that we are gone. Call when `run` has ended."""
        lease = self._id or self._stale_id
        self._drop()
        if lease:
            try:
                await self._client.revoke(lease)
            except Unavailable as fault:
                logger.warning("lease left to expire", lease=f"{lease:x}", error=fault.message)

    async def _take(self) -> None:
        if self._stale_id:
            await self._client.revoke(self._stale_id)
            self._stale_id = 0
        sent = self._clock.monotonic()
        self._id = await self._client.grant(self._ttl)
        self._generation += 1
        self._confirm(sent)
        self._signal.fire()

    async def _keep(self) -> None:
        interval = self._ttl / KEEP_ALIVES_PER_TTL
        pause = interval
        while True:
            await self._clock.sleep(pause)
            sent = self._clock.monotonic()
            try:
                is_alive = await self._client.keep_alive(self._id, timeout=interval)
                if not (is_alive and self.is_trusted()):
                    return
                self._confirm(sent)
                pause = interval
            except Unavailable:
                pause = interval / KEEP_ALIVES_PER_TTL

    async def _until_distrusted(self) -> None:
        # A timedelta rounds to whole microseconds: without the shortest nap the last half of one would be a busy loop.
        while (left := self._trusted_until - self._clock.monotonic()) > 0:
            await self._clock.sleep(max(timedelta(seconds=left), SHORTEST_NAP))

    def _confirm(self, sent: float) -> None:
        self._trusted_until = sent + (self._ttl - self._ttl / MARGIN_PER_TTL).total_seconds()

    def _drop(self) -> None:
        self._stale_id = self._id or self._stale_id
        self._id = 0
        self._signal.fire()
