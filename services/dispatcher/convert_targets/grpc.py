"""gRPC methods."""

import base64
import re
from datetime import timedelta

from chronos.scheduler.v1 import grpc_target_pb2

from libs.host_ports import split_host_port
from libs.method_types import types_in_set
from services.dispatcher.convert_targets.tls import read_tls
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.targets.grpc import (
    BINARY_SUFFIX,
    GrpcCall,
    GrpcMethod,
    GrpcPlan,
    GrpcServer,
    Metadata,
    Types,
    compile_grpc,
    is_reserved,
)
from services.dispatcher.domain.targets.grpc_codes import Code

NAME = re.compile(r"[0-9a-z_.-]+")


def read_grpc(message: grpc_target_pb2.GrpcTarget, *, timeout: timedelta, contract: Contract) -> GrpcPlan:
    """The plan of a method. Raises ValueError, with what is wrong, for one that cannot be called."""
    call = GrpcCall(
        method=GrpcMethod(server=_server(message), path=message.method, metadata=_metadata(message)),
        payload=message.payload,
        raw_payload=message.raw_payload,
        types=_types(message),
        types_weight=len(message.descriptor_set),
        retryable_codes=frozenset(Code[name] for name in message.retryable_codes if name in Code.__members__),
    )
    return compile_grpc(call, timeout=timeout, contract=contract)


def _server(message: grpc_target_pb2.GrpcTarget) -> GrpcServer:
    try:
        host, port = split_host_port(message.address)
    except ValueError as error:
        raise ValueError(f"the address {error}") from None
    tls = read_tls(message.tls)
    return GrpcServer(host=host, port=port, tls=tls if tls is not None and tls.is_enabled else None)


def _types(message: grpc_target_pb2.GrpcTarget) -> Types | None:
    if not message.descriptor_set or message.raw_payload:
        return None
    try:
        return types_in_set(message.descriptor_set, message.method)
    except ValueError as error:
        raise ValueError(f"descriptor_set {error}") from None


def _metadata(message: grpc_target_pb2.GrpcTarget) -> Metadata:
    given = ((name.lower(), value) for name, value in sorted(message.metadata.items()) if not is_reserved(name))
    return tuple((name, _value(name, value)) for name, value in given)


def _value(name: str, value: str) -> str | bytes:
    if NAME.fullmatch(name) is None:
        raise ValueError(f"metadata {name!r} has no valid name; use letters, digits, hyphens, dots and underscores")
    if name.endswith(BINARY_SUFFIX):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise ValueError(f"metadata {name!r} must be Base64, since its name ends in {BINARY_SUFFIX}") from None
    if not value.isprintable() or not value.isascii():
        raise ValueError(f"metadata {name!r} holds control or non-ASCII characters; end its name in {BINARY_SUFFIX}")
    return value
