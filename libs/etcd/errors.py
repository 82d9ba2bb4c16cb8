"""etcd's errors as Faults.

Unavailable
├── LeaseLost      the lease to bind a key to has ended
└── Compacted      the revision to read is not kept any more; list again

Both may be treated as what they are or just as Unavailable.
"""

import grpc
from grpc.aio import AioRpcError

from libs.faults import Fault, InvalidArgument, Unavailable

_TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
}
# Answers by which the server, or our own side, says that it did not even try.
_REFUSALS = ("etcdserver: no leader", "etcdserver: too many requests", "failed to connect to all addresses")


class LeaseLost(Unavailable):
    """The lease that a key was to be bound to has ended."""

    default_reason = "LEASE_LOST"


class Compacted(Unavailable):
    """The store keeps nothing of the revision that was asked for any more."""

    default_reason = "COMPACTED"


def is_transient(error: AioRpcError) -> bool:
    """Whether another server, or this one later, may answer."""
    return error.code() in _TRANSIENT


def was_refused(error: AioRpcError) -> bool:
    """Whether the request certainly had no effect."""
    return error.code() == grpc.StatusCode.UNAVAILABLE and (error.details() or "").startswith(_REFUSALS)


def fault_of(error: AioRpcError) -> Fault:
    """The Fault that stands for an answer of etcd."""
    details = error.details() or error.code().name
    if error.code() == grpc.StatusCode.NOT_FOUND and "lease not found" in details:
        return LeaseLost("The lease has ended; take a new one.")
    if error.code() == grpc.StatusCode.OUT_OF_RANGE and "compacted" in details:
        return Compacted("The revision is not kept any more; list again.")
    if error.code() == grpc.StatusCode.INVALID_ARGUMENT and "too large" in details:
        return InvalidArgument([], message="The stored form is larger than etcd takes in one request; make it smaller.")
    if is_transient(error):
        return Unavailable(f"etcd does not answer: {details}", reason="ETCD_UNAVAILABLE")
    return Fault(f"etcd refused: {details}", reason="ETCD_REFUSED")
