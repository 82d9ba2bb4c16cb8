"""Where a NATS target is, how its connections are secured, and as whom."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.dispatcher.domain.targets.tls import Tls

DEFAULT_PORT = 4222
TLS_SCHEME = "tls"
SCHEMES = ("nats", TLS_SCHEME)


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a cluster."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPassword:
    """User name and password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NKey:
    """The seed of a user's NKey, and the JWT that an account gave to the user, if it did."""

    seed: str = field(repr=False)
    jwt: str = field(default="", repr=False)


Credentials = Token | UserPassword | NKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Everything that makes a connection: equal values share one. `servers` are tried in their order.

    `needs_tls` means that nothing is said to a server that speaks no TLS. `tls` may be given without it: for a server
    that demands TLS itself.
    """

    servers: tuple[Server, ...]
    needs_tls: bool = False
    tls: Tls | None = None
    credentials: Credentials | None = None

    @property
    def weight(self) -> int:
        """Bytes that it keeps in memory, roughly."""
        return 64 * len(self.servers) + (self.tls.weight if self.tls is not None else 0)


def read_servers(url: str) -> tuple[tuple[Server, ...], bool]:
    """The servers of a URL, and whether it asks for TLS. Raises ValueError with what is wrong."""
    servers = []
    needs_tls = False
    for text in url.split(","):
        parts = urlsplit(text.strip())
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ValueError(f"{text.strip()!r} is no server; write for example nats://host:4222")
        needs_tls |= parts.scheme == TLS_SCHEME
        servers.append(Server(parts.hostname, parts.port or DEFAULT_PORT))
    return tuple(servers), needs_tls


def read_credentials_file(text: str) -> NKey:
    """The JWT and the seed in the contents of a `.creds` file. Raises ValueError when one of them is missing."""
    jwt, seed = _line_after("BEGIN NATS USER JWT", text), _line_after("BEGIN USER NKEY SEED", text)
    if not jwt or not seed:
        raise ValueError("nats.auth.credentials holds no user JWT and NKey seed; give the text of a .creds file")
    return NKey(seed=seed, jwt=jwt)


def _line_after(label: str, text: str) -> str:
    lines = iter(text.splitlines())
    return next((next(lines, "").strip() for line in lines if label in line), "")
