"""TLS contexts for connections to targets, made once for each way to secure them."""

import ssl
import tempfile
from functools import lru_cache
from pathlib import Path

from services.dispatcher.domain.targets.tls import Tls

MOST_CONTEXTS = 1_024


@lru_cache(maxsize=MOST_CONTEXTS)
def ssl_context(tls: Tls, *, ca_file: str = "") -> ssl.SSLContext:
    """The context of a client, TLS 1.2 at least; the same one for equal values, so nobody may change it.

    `ca_file` names a PEM file with authorities to trust beside the system's, where the job names none of its own.
    The name to verify is the caller's: `server_hostname` is `tls.server_name` or the host. Raises ValueError, in words
    for the job's owner, for certificates and keys that cannot be used. Blocks for some milliseconds.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not tls.is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca_cert:
        _trust(context, tls.ca_cert)
    else:
        context.load_default_certs()
        if ca_file:
            context.load_verify_locations(ca_file)
    if tls.client_cert:
        _show(context, tls)
    return context


def _trust(context: ssl.SSLContext, ca_cert: str) -> None:
    try:
        context.load_verify_locations(cadata=ca_cert)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise ValueError(f"tls.ca_cert is no certificate in PEM ({_reason(error)})") from None


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    # ssl takes a certificate from a file only: one that its owner alone can read, for as long as the call lasts.
    with tempfile.NamedTemporaryFile("w", prefix="chronos-", suffix=".pem", delete=False) as file:
        file.write(f"{tls.client_key}\n{tls.client_cert}\n")
    try:
        context.load_cert_chain(file.name, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(
            f"tls.client_cert and tls.client_key are no certificate in PEM and its key ({_reason(error)})"
        ) from None
    finally:
        Path(file.name).unlink()


def _no_passphrase() -> str:
    """Without it, OpenSSL would ask on the terminal."""
    raise ValueError("the key has a passphrase; give it without")


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else ""
    return (reason or str(error)).lower().replace("_", " ")
