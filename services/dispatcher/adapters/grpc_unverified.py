"""TLS without verification for gRPC, which cannot leave it out: the certificate that the server shows is trusted."""

import asyncio
import contextlib
import socket
import ssl

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.dispatcher.adapters.checked_addresses import unresolved
from services.dispatcher.adapters.grpc_errors import NotConnectedError, not_connected
from services.dispatcher.adapters.tls_contexts import ssl_context
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.grpc import GrpcServer
from services.dispatcher.domain.targets.tls import Tls


async def presented_certificate(server: GrpcServer, tls: Tls, address: str) -> tuple[bytes, str]:
    """The certificate that a server shows, PEM, and a name that it is good for. Raises NotConnectedError."""
    try:
        certificate = x509.load_der_x509_certificate(await _shown(server, tls, address))
    except socket.gaierror:
        raise NotConnectedError(unresolved(server.host)) from None
    except ssl.SSLError as error:
        text = f"handshake failed: {error.reason or error}"
        raise NotConnectedError(not_connected(text, server)) from None
    except ConnectionRefusedError:
        raise NotConnectedError(not_connected("Connection refused", server)) from None
    except OSError as error:
        raise NotConnectedError(not_connected(str(error), server)) from None
    except ValueError as error:
        raise _unusable(f"that cannot be read ({error})", server) from None
    if not (name := _name(certificate)):
        raise _unusable("without a name (subjectAltName), which gRPC needs all the same", server)
    return certificate.public_bytes(Encoding.PEM), name


async def _shown(server: GrpcServer, tls: Tls, address: str) -> bytes:
    context = ssl_context(tls)
    _, writer = await asyncio.open_connection(
        address, server.port, ssl=context, server_hostname=tls.server_name or server.host
    )
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return bytes(shown)


def _name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    for name in names.get_values_for_type(x509.DNSName):
        return name.replace("*", "any", 1)
    return next((str(address) for address in names.get_values_for_type(x509.IPAddress)), "")


def _unusable(why: str, server: GrpcServer) -> NotConnectedError:
    error = f"TLS: {server} has a certificate {why}; give it another one"
    return NotConnectedError(Failure(kind=FailureKind.CERTIFICATE, error=error))
