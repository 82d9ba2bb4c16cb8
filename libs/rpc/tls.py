"""TLS for servers and channels, mutual where an authority is given."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from libs.settings import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files. With `ca_file`, a server demands a certificate signed by it, and a channel trusts only it."""

    cert_file: str
    key_file: str
    ca_file: str = ""

    def server_credentials(self) -> grpc.ServerCredentials:
        """What a server shows. Raises OSError when a file cannot be read."""
        pair = (Path(self.key_file).read_bytes(), Path(self.cert_file).read_bytes())
        return grpc.ssl_server_credentials(
            [pair], root_certificates=_read(self.ca_file), require_client_auth=bool(self.ca_file)
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """What a channel trusts and shows. Raises OSError when a file cannot be read."""
        return grpc.ssl_channel_credentials(_read(self.ca_file), _read(self.key_file), _read(self.cert_file))


def tls_files(settings: ServiceSettings) -> TlsFiles | None:
    """The files that the settings name, None for plaintext. Raises ValueError when only half of a pair is named."""
    if bool(settings.tls_cert_file) != bool(settings.tls_key_file):
        raise ValueError("tls_cert_file and tls_key_file belong together; set both or neither")
    if not settings.tls_cert_file:
        return None
    return TlsFiles(cert_file=settings.tls_cert_file, key_file=settings.tls_key_file, ca_file=settings.tls_ca_file)


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None
