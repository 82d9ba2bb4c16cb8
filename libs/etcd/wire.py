"""Our values ⇄ etcd's protobuf messages: the only mapping."""

from typing import assert_never

from chronos.third_party.etcd import kv_pb2, rpc_pb2

from libs.etcd import keys
from libs.etcd.transactions import (
    Compare,
    Delete,
    DeletePrefix,
    Get,
    GetPrefix,
    Operation,
    OperationResult,
    Put,
    Subject,
    TxnResult,
)
from libs.etcd.values import Event, EventKind, KeyValue


def key_value(kv: kv_pb2.KeyValue) -> KeyValue:
    """A key as read."""
    return KeyValue(
        key=kv.key,
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        lease=kv.lease,
    )


def event(message: kv_pb2.Event) -> Event:
    """A change as watched."""
    kv = message.kv
    return Event(
        kind=EventKind.DELETE if message.type == kv_pb2.Event.DELETE else EventKind.PUT,
        key=kv.key,
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
    )


def compare(condition: Compare) -> rpc_pb2.Compare:
    """A condition of a transaction."""
    message = rpc_pb2.Compare(key=condition.key, result=rpc_pb2.Compare.EQUAL)
    match condition.subject, condition.expected:
        case Subject.CREATE_REVISION, int(revision):
            message.target, message.create_revision = rpc_pb2.Compare.CREATE, revision
        case Subject.MOD_REVISION, int(revision):
            message.target, message.mod_revision = rpc_pb2.Compare.MOD, revision
        case Subject.LEASE, int(lease):
            message.target, message.lease = rpc_pb2.Compare.LEASE, lease
        case Subject.VALUE, bytes(value):
            message.target, message.value = rpc_pb2.Compare.VALUE, value
        case _:
            raise TypeError(f"{condition.subject} cannot be compared with {condition.expected!r}")
    return message


def operation(step: Operation) -> rpc_pb2.RequestOp:
    """A step of a transaction."""
    match step:
        case Put(key, value, lease):
            return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value, lease=lease))
        case Delete(key):
            return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=key))
        case DeletePrefix(prefix):
            return rpc_pb2.RequestOp(
                request_delete_range=rpc_pb2.DeleteRangeRequest(key=prefix, range_end=keys.end_of(prefix))
            )
        case Get(key):
            return rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=key))
        case GetPrefix(prefix, limit, keys_only):
            return rpc_pb2.RequestOp(
                request_range=rpc_pb2.RangeRequest(
                    key=prefix, range_end=keys.end_of(prefix), limit=limit, keys_only=keys_only
                )
            )
        case _:
            assert_never(step)


def txn_result(response: rpc_pb2.TxnResponse) -> TxnResult:
    """What a transaction came to."""
    return TxnResult(
        succeeded=response.succeeded,
        revision=response.header.revision,
        responses=tuple(map(_operation_result, response.responses)),
    )


def _operation_result(response: rpc_pb2.ResponseOp) -> OperationResult:
    return OperationResult(
        items=tuple(map(key_value, response.response_range.kvs)),
        deleted=response.response_delete_range.deleted,
    )
