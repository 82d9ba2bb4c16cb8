"""Clients that connect only to addresses which were checked: no job reaches into the dispatcher's own network."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder

from libs.clock import Clock
from services.dispatcher.adapters.http_errors import Endpoint
from services.dispatcher.domain.addresses import Address, AddressPolicy, as_address
from services.dispatcher.domain.outcome import Failure, FailureKind


@dataclass(slots=True)
class _Pinned:
    """A client that knows one name, as one address, until that is looked up again."""

    client: Client
    address: Address
    expires_at: float


class CheckedClients:
    """A client for each name, which connects to the address that was checked, whatever the name means a moment later.

    Names are looked up again after `lifetime`. At most `limit` clients are kept, the least recently used go first.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        new_builder: Callable[[], ClientBuilder],
        clock: Clock,
        *,
        lifetime: timedelta,
        limit: int,
    ) -> None:
        self._policy = policy
        self._new_builder = new_builder
        self._clock = clock
        self._lifetime = lifetime.total_seconds()
        self._limit = limit
        self._direct = new_builder().build()
        self._pinned: OrderedDict[str, _Pinned] = OrderedDict()

    async def find(self, endpoint: Endpoint, timeout: timedelta) -> Client | Failure:
        """See Clients."""
        address = as_address(endpoint.host)
        if address is not None:
            return self._direct if self._policy.is_allowed(address) else _blocked(endpoint)
        pinned = self._pinned.get(endpoint.host)
        if pinned is not None and pinned.expires_at > self._clock.monotonic():
            self._pinned.move_to_end(endpoint.host)
            return pinned.client
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                addresses = await _resolve(endpoint)
        except socket.gaierror:
            return Failure(kind=FailureKind.NAME, error=f"name {endpoint.host} does not resolve")
        chosen = self._policy.choose(addresses)
        return _blocked(endpoint) if chosen is None else self._pin(endpoint.host, chosen)

    async def close(self) -> None:
        """See Clients."""
        await self._direct.close()
        for pinned in self._pinned.values():
            await pinned.client.close()
        self._pinned.clear()

    def _pin(self, host: str, address: Address) -> Client:
        expires_at = self._clock.monotonic() + self._lifetime
        pinned = self._pinned.get(host)
        if pinned is None or pinned.address != address:
            client = self._new_builder().resolve(host, str(address), 0).build()
            self._pinned[host] = pinned = _Pinned(client, address, expires_at)
        pinned.expires_at = expires_at
        self._pinned.move_to_end(host)
        while len(self._pinned) > self._limit:
            self._pinned.popitem(last=False)
        return pinned.client


async def _resolve(endpoint: Endpoint) -> list[Address]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    addresses = (as_address(str(sockaddr[0])) for _, _, _, _, sockaddr in found)
    return [address for address in addresses if address is not None]


def _blocked(endpoint: Endpoint) -> Failure:
    return Failure(
        kind=FailureKind.BLOCKED,
        error=f"{endpoint.host} is a private address, where jobs may not send; an operator can allow its network",
    )
