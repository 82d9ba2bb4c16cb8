"""Which addresses a delivery may go to: a job must not reach what only the dispatcher's network can reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """Allows public addresses and those in `allowed_networks`; every address when `allow_private_addresses`."""

    allow_private_addresses: bool = False
    allowed_networks: tuple[Network, ...] = ()

    def is_allowed(self, address: Address) -> bool:
        """Whether a delivery may connect there."""
        if self.allow_private_addresses:
            return True
        target = embedded(address)
        return is_public(target) or any(target in network for network in self.allowed_networks)

    def choose(self, addresses: Sequence[Address]) -> Address | None:
        """The address of a name to use: the first IPv4 one if there is any. None when one of them may not be used.

        A name that mixes public and private addresses is suspicious as a whole. IPv4 first, since only one address is
        tried and many networks have no way out over IPv6.
        """
        if not addresses or not all(self.is_allowed(address) for address in addresses):
            return None
        return min(addresses, key=lambda address: address.version)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks like `10.1.0.0/16`. Raises ValueError with the one that is not."""
    return tuple(ip_network(text, strict=False) for text in texts)


def as_address(host: str) -> Address | None:
    """The address that a URL's host is; None for a name. IPv6 may stand in brackets."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return None


def embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that stands for it (mapped, 6to4, Teredo, NAT64); else the address."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether the address is one of the open internet: not loopback, private, link-local, multicast, reserved.

    The address of cloud metadata services, 169.254.169.254, is link-local; 100.64.0.0/10 is shared, not global.
    """
    if isinstance(address, IPv6Address) and (address.is_site_local or address in LOCAL_NAT64):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified
