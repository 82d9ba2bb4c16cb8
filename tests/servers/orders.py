"""The types of the gRPC service that tests call, in two files, made without generated code."""

from typing import Any

from google.protobuf import descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

SERVICE = "shop.v1.OrderService"
PLACE, FAIL, BIG, SLOW, BREAK, WATCH, COUNT = (
    f"/{SERVICE}/{name}" for name in ("Place", "Fail", "Big", "Slow", "Break", "Watch", "Count")
)
TIMESTAMP = "google/protobuf/timestamp.proto"

_TYPES = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}


def _message(file: FileDescriptorProto, name: str, *fields: tuple[str, str]) -> None:
    message = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields, start=1):
        added = message.field.add(name=field, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if kind.startswith("repeated "):
            added.label, kind = FieldDescriptorProto.LABEL_REPEATED, kind.removeprefix("repeated ")
        if kind in _TYPES:
            added.type = _TYPES[kind]
        else:
            added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, kind


def _files() -> list[FileDescriptorProto]:
    items = FileDescriptorProto(name="shop/v1/item.proto", package="shop.v1", syntax="proto3")
    _message(items, "Item", ("sku", "string"), ("count", "int32"))
    orders = FileDescriptorProto(name="shop/v1/orders.proto", package="shop.v1", syntax="proto3")
    orders.dependency.extend(["shop/v1/item.proto", TIMESTAMP])
    _message(
        orders,
        "Order",
        ("customer", "string"),
        ("amount_cents", "int32"),
        ("items", "repeated .shop.v1.Item"),
        ("due", ".google.protobuf.Timestamp"),
        ("note", "bytes"),
    )
    _message(orders, "Placed", ("order_id", "string"), ("amount_cents", "int32"), ("text", "string"))
    service = orders.service.add(name="OrderService")
    for name in ("Place", "Fail", "Big", "Slow", "Break"):
        service.method.add(name=name, input_type=".shop.v1.Order", output_type=".shop.v1.Placed")
    service.method.add(name="Watch", input_type=".shop.v1.Order", output_type=".shop.v1.Placed", server_streaming=True)
    return [orders, items]


FILES = _files()


def descriptor_set() -> bytes:
    """All of it, without Google's own types, and in an order in which no pool would take it."""
    return FileDescriptorSet(file=FILES).SerializeToString()


def make_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for file in reversed(FILES):
        pool.Add(file)
    return pool


POOL = make_pool()
Order: Any = message_factory.GetMessageClass(POOL.FindMessageTypeByName("shop.v1.Order"))
Placed: Any = message_factory.GetMessageClass(POOL.FindMessageTypeByName("shop.v1.Placed"))
