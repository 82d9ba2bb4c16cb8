"""Names looked up once and checked: what is connected to is what was allowed."""

import asyncio
import socket
from typing import Protocol

from services.dispatcher.domain.addresses import Address, AddressPolicy, as_address
from services.dispatcher.domain.results import Failure, FailureKind


class Addresses(Protocol):
    """Where a host may be reached."""

    async def find(self, host: str, port: int) -> str | Failure:
        """What to connect to: an address, or the name itself where no address is forbidden; or why there is none."""


class AnyAddress:
    """Every address is allowed: names are left to the system."""

    async def find(self, host: str, port: int) -> str | Failure:
        """See Addresses."""
        del port
        return host


class CheckedAddresses:
    """Looks names up, and allows what the policy allows. The caller bounds the time."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy

    async def find(self, host: str, port: int) -> str | Failure:
        """See Addresses."""
        address = as_address(host)
        if address is not None:
            return str(address) if self._policy.is_allowed(address) else blocked(host)
        try:
            addresses = await resolve(host, port)
        except socket.gaierror:
            return unresolved(host)
        chosen = self._policy.choose(addresses)
        return blocked(host) if chosen is None else str(chosen)


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a name. Raises socket.gaierror."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = (as_address(str(sockaddr[0])) for _, _, _, _, sockaddr in found)
    return [address for address in addresses if address is not None]


def unresolved(host: str) -> Failure:
    """The name means nothing."""
    return Failure(kind=FailureKind.NAME, error=f"name {host} does not resolve")


def blocked(host: str) -> Failure:
    """The name means an address that is not allowed."""
    return Failure(
        kind=FailureKind.BLOCKED,
        error=f"{host} is a private address, where jobs may not send; an operator can allow its network",
    )
