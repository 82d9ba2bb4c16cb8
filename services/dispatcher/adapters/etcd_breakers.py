"""The circuit breakers of all dispatchers, shared through etcd: each puts its own there, everyone reads all."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from chronos.dispatcher.v1.circuit_breaker_service_pb2 import CircuitBreaker

from libs.clock import Clock
from libs.etcd import keys
from libs.etcd.backoff import Backoff
from libs.etcd.lease import Lease
from libs.etcd.mirror import Mirror
from libs.etcd.port import Etcd
from libs.etcd.transactions import Delete, Operation, Put
from libs.faults import Unavailable
from libs.process import wait_first

INTERVAL = timedelta(milliseconds=200)
TXN_SIZE = 100
UNKNOWN = b"?"


class EtcdBreakerBoard:
    """Every breaker that is not closed, whichever dispatcher it is of, as last told by etcd."""

    def __init__(self, etcd: Etcd) -> None:
        self._mirror = Mirror(etcd, keys.BREAKERS, CircuitBreaker.FromString, keys.below(keys.BREAKERS))

    def breakers(self) -> list[CircuitBreaker]:
        """See ports.BreakerBoard."""
        return list(self._mirror.values.values())

    async def run(self) -> None:
        """Follows them; for ever."""
        await self._mirror.run()


class BreakerNotices:
    """Puts this dispatcher's own breakers there, under its lease, and again after each loss of that.

    `own` gives those that are not closed, by host; `changed` is set when they may have changed. Changes close together
    are written at once: at most every 200 ms.
    """

    def __init__(
        self,
        etcd: Etcd,
        lease: Lease,
        instance: str,
        clock: Clock,
        *,
        own: Callable[[], Mapping[str, bytes]],
        changed: asyncio.Event,
    ) -> None:
        self._etcd = etcd
        self._lease = lease
        self._instance = instance
        self._clock = clock
        self._own = own
        self._changed = changed

    async def run(self) -> None:
        """Publishes; for ever."""
        while True:
            generation = await self._lease.acquired()
            await wait_first(self._lease.lost(generation), self._publish(self._lease.id))

    async def _publish(self, lease: int) -> None:
        backoff = Backoff()
        there: dict[str, bytes] = {}
        while True:
            self._changed.clear()
            try:
                await self._write(there, dict(self._own()), lease)
            except Unavailable:
                await self._clock.sleep(backoff.next())
                continue
            backoff.reset()
            await self._clock.sleep(INTERVAL)
            await self._changed.wait()

    async def _write(self, there: dict[str, bytes], wanted: dict[str, bytes], lease: int) -> None:
        hosts = [host for host in there.keys() | wanted.keys() if there.get(host) != wanted.get(host)]
        for part in (hosts[start : start + TXN_SIZE] for start in range(0, len(hosts), TXN_SIZE)):
            # Until etcd has answered, nobody knows what is there: then it is written again.
            there.update(dict.fromkeys(part, UNKNOWN))
            await self._etcd.txn([], list(self._steps(part, wanted, lease)))
            for host in part:
                del there[host]
                if host in wanted:
                    there[host] = wanted[host]

    def _steps(self, hosts: Iterable[str], wanted: Mapping[str, bytes], lease: int) -> Iterable[Operation]:
        for host in hosts:
            key = keys.breaker(self._instance, host)
            yield Put(key, wanted[host], lease) if host in wanted else Delete(key)
