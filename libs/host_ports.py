"""Where a server listens, as people write it: `example.com:443`, `10.0.0.1:50051`, `[2001:db8::1]:50051`."""

import re
from ipaddress import IPv6Address

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")


def split_host_port(text: str) -> tuple[str, int]:
    """Host, IPv6 without its brackets, and port. Raises ValueError, in words that follow the name of a field."""
    if "://" in text:
        raise ValueError("must be host:port without a scheme, for example billing.example.com:443")
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65_535:
        raise ValueError("must be host:port with a port of 1 to 65535, for example billing.example.com:443")
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(host[1:-1]), int(port)
    if ":" in host:
        raise ValueError("must have an IPv6 address in brackets, for example [2001:db8::1]:50051")
    if HOST.fullmatch(host) is None:
        raise ValueError("has a host that is none; write a name or an address, for example billing.example.com:443")
    return host, int(port)


def join_host_port(host: str, port: int) -> str:
    """The other way round."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ValueError("has something in brackets that is no IPv6 address") from None
