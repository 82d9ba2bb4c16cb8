"""Clients that connect only to addresses which were checked: no job reaches into the dispatcher's own network."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder

from libs.clock import Clock
from services.dispatcher.adapters.checked_addresses import blocked, resolve, unresolved
from services.dispatcher.adapters.http_clients import LinkedClients, build
from services.dispatcher.adapters.http_errors import Endpoint
from services.dispatcher.domain.addresses import Address, AddressPolicy, as_address
from services.dispatcher.domain.results import Failure
from services.dispatcher.domain.targets.http_options import PLAIN_LINK, Link

# Mostly a name alone, which is quicker to find: what connects plainly needs no more.
_Key = str | tuple[str, Link]


@dataclass(slots=True)
class _Pinned:
    """A client that knows one name, as one address, until that is looked up again; for one way to connect."""

    client: Client
    address: Address
    expires_at: float


class CheckedClients:
    """A client for each name and way to connect, which connects to the address that was checked, whatever the name
    means a moment later.

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
        self._direct = LinkedClients(new_builder)
        self._pinned: OrderedDict[_Key, _Pinned] = OrderedDict()

    async def find(self, endpoint: Endpoint, link: Link, timeout: timedelta) -> Client | Failure:
        """See Clients."""
        address = as_address(endpoint.host)
        if address is not None:
            return self._direct.find(link) if self._policy.is_allowed(address) else blocked(endpoint.host)
        key: _Key = endpoint.host if link is PLAIN_LINK else (endpoint.host, link)
        pinned = self._pinned.get(key)
        if pinned is not None and pinned.expires_at > self._clock.monotonic():
            self._pinned.move_to_end(key)
            return pinned.client
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                addresses = await resolve(endpoint.host, endpoint.port)
        except socket.gaierror:
            return unresolved(endpoint.host)
        chosen = self._policy.choose(addresses)
        return blocked(endpoint.host) if chosen is None else self._pin(key, endpoint.host, link, chosen)

    async def close(self) -> None:
        """See Clients."""
        await self._direct.close()
        for pinned in self._pinned.values():
            await pinned.client.close()
        self._pinned.clear()

    def _pin(self, key: _Key, host: str, link: Link, address: Address) -> Client:
        expires_at = self._clock.monotonic() + self._lifetime
        pinned = self._pinned.get(key)
        if pinned is None or pinned.address != address:
            client = build(self._new_builder().resolve(host, str(address), 0), link)
            self._pinned[key] = pinned = _Pinned(client, address, expires_at)
        pinned.expires_at = expires_at
        self._pinned.move_to_end(key)
        while len(self._pinned) > self._limit:
            self._pinned.popitem(last=False)
        return pinned.client
