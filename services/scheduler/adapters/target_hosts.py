"""Looks hosts up in the system's name service."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from libs.clock import Clock
from libs.log import get_logger

DEADLINE = timedelta(seconds=1)
# So that a thousand runs or jobs with one host are one look-up. Name services answer for longer than that.
REMEMBERED = timedelta(seconds=5)
MOST_HOSTS = 16
MOST_KEPT = 1_000
logger = get_logger()


@dataclass(slots=True)
class _Host:
    """The addresses of a host, for as long as the monotonic clock shows less than `until`; one asks, others wait."""

    addresses: Sequence[str] = ()
    until: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class SystemTargetHosts:
    """See ports.TargetHosts. At most 16 hosts; those beyond are not looked up. Remembers for five seconds."""

    def __init__(self, clock: Clock, deadline: timedelta = DEADLINE) -> None:
        self._clock = clock
        self._seconds = deadline.total_seconds()
        self._kept: dict[str, _Host] = {}

    async def addresses(self, hosts: Sequence[str]) -> Sequence[str]:
        """See ports.TargetHosts."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._find(host)) for host in hosts[:MOST_HOSTS]]
        return list(dict.fromkeys(address for task in tasks for address in task.result()))

    async def _find(self, name: str) -> Sequence[str]:
        host = self._kept.get(name)
        if host is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            host = self._kept[name] = _Host()
        async with host.asking:
            if self._clock.monotonic() >= host.until:
                host.addresses = await self._look_up(name)
                host.until = self._clock.monotonic() + REMEMBERED.total_seconds()
            return host.addresses

    async def _look_up(self, host: str) -> Sequence[str]:
        try:
            async with asyncio.timeout(self._seconds):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            logger.info("host of a target is not known", host=host, error=str(error) or "took too long")
            return ()
        return [str(sockaddr[0]) for _, _, _, _, sockaddr in found]
