"""How a connection to a target is secured, whatever the protocol."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificates and keys are PEM; what is empty is not given. Equal values may share connections.

    `is_enabled` may be false although TLS is spoken: an address can ask for it too. No `ca_cert` means the system's
    authorities, no `server_name` the host of the address.
    """

    is_enabled: bool = True
    ca_cert: str = field(default="", repr=False)
    client_cert: str = field(default="", repr=False)
    client_key: str = field(default="", repr=False)
    server_name: str = ""
    is_verified: bool = True
    """Whether the certificate of the server must be one to trust, and for its name."""

    @property
    def weight(self) -> int:
        """Bytes that it keeps in memory, roughly."""
        return len(self.ca_cert) + len(self.client_cert) + len(self.client_key)
