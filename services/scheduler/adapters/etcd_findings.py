"""What this replica finds wrong, in etcd under its lease, so that every gateway can show it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from libs.clock import Clock
from libs.etcd import keys
from libs.etcd.backoff import Backoff
from libs.etcd.lease import Lease
from libs.etcd.port import Etcd
from libs.faults import Unavailable
from libs.process import wait_first
from services.scheduler.convert.findings import stored_findings
from services.scheduler.domain.invariants import Finding

INTERVAL = timedelta(seconds=1)


class EtcdFindingBoard:
    """See ports.FindingBoard. Written only when changed, at most once a second, and again after each loss of the lease.

    There is no key while nothing is wrong.
    """

    def __init__(self, etcd: Etcd, lease: Lease, *, instance: str, replica: str, clock: Clock) -> None:
        self._etcd = etcd
        self._lease = lease
        self._key = keys.findings(instance)
        self._replica = replica
        self._clock = clock
        self._value = b""
        self._changed = asyncio.Event()

    def show(self, findings: Sequence[Finding]) -> None:
        """See ports.FindingBoard."""
        value = stored_findings(findings, self._replica).SerializeToString(deterministic=True)
        if value != self._value:
            self._value = value
            self._changed.set()

    async def run(self) -> None:
        """Publishes; for ever."""
        while True:
            generation = await self._lease.acquired()
            await wait_first(self._lease.lost(generation), self._publish(self._lease.id))

    async def _publish(self, lease: int) -> None:
        backoff = Backoff()
        there: bytes | None = b""
        while True:
            self._changed.clear()
            value = self._value
            try:
                if value != there:
                    there = None  # Until etcd has answered, nobody knows what is there.
                    await self._write(value, lease)
                    there = value
            except Unavailable:
                await self._clock.sleep(backoff.next())
                continue
            backoff.reset()
            await self._clock.sleep(INTERVAL)
            await self._changed.wait()

    async def _write(self, value: bytes, lease: int) -> None:
        if value:
            await self._etcd.put(self._key, value, lease)
        else:
            await self._etcd.delete(self._key)
