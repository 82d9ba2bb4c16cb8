"""How a connection to a target is secured."""

from chronos.scheduler.v1 import target_tls_pb2

from services.dispatcher.domain.targets.tls import Tls


def read_tls(message: target_tls_pb2.TargetTls) -> Tls | None:
    """What a job says of it; None when it says nothing."""
    if not message.ListFields():
        return None
    return Tls(
        is_enabled=message.enabled,
        ca_cert=message.ca_cert,
        client_cert=message.client_cert,
        client_key=message.client_key,
        server_name=message.server_name,
        is_verified=not message.insecure_skip_verify,
    )
