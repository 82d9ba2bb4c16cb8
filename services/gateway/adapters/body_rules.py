"""The shapes of request bodies, read from the contract."""

import re
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from libs.contract import Contract, HttpRule, Rpc
from services.gateway.domain.bodies import Bodies, BodyRule
from services.gateway.domain.shapes import FieldShape, Kind, MessageShape, Shape

F = FieldDescriptor
SCALARS = {
    F.TYPE_STRING: Kind.STRING,
    F.TYPE_BOOL: Kind.BOOL,
    F.TYPE_BYTES: Kind.BYTES,
    F.TYPE_FLOAT: Kind.FLOAT,
    F.TYPE_DOUBLE: Kind.DOUBLE,
    **dict.fromkeys((F.TYPE_INT32, F.TYPE_SINT32, F.TYPE_SFIXED32), Kind.INT32),
    **dict.fromkeys((F.TYPE_INT64, F.TYPE_SINT64, F.TYPE_SFIXED64), Kind.INT64),
    **dict.fromkeys((F.TYPE_UINT32, F.TYPE_FIXED32), Kind.UINT32),
    **dict.fromkeys((F.TYPE_UINT64, F.TYPE_FIXED64), Kind.UINT64),
}
# Messages that JSON writes in a way of their own.
WELL_KNOWN = {
    "google.protobuf.Timestamp": Kind.TIMESTAMP,
    "google.protobuf.Duration": Kind.DURATION,
    "google.protobuf.FieldMask": Kind.FIELD_MASK,
    "google.protobuf.Struct": Kind.ANY_OBJECT,
    "google.protobuf.Any": Kind.ANY_OBJECT,
    "google.protobuf.ListValue": Kind.ANY_LIST,
    "google.protobuf.Value": Kind.ANY_VALUE,
    "google.protobuf.StringValue": Kind.STRING,
    "google.protobuf.BytesValue": Kind.BYTES,
    "google.protobuf.BoolValue": Kind.BOOL,
    "google.protobuf.Int32Value": Kind.INT32,
    "google.protobuf.Int64Value": Kind.INT64,
    "google.protobuf.UInt32Value": Kind.UINT32,
    "google.protobuf.UInt64Value": Kind.UINT64,
    "google.protobuf.FloatValue": Kind.FLOAT,
    "google.protobuf.DoubleValue": Kind.DOUBLE,
}


def read_bodies(contract: Contract) -> Bodies:
    """The bodies of all public REST calls."""
    shapes = _Shapes()
    return Bodies(
        rules=[
            BodyRule(verb=rule.verb, path=re.compile(rule.pattern), shape=shapes.of_body(rule, rpc))
            for rule, rpc in contract.rest_calls
        ]
    )


class _Shapes:
    """Makes each message's shape once, so that messages may contain themselves."""

    def __init__(self) -> None:
        self._messages: dict[str, MessageShape] = {}

    def of_body(self, rule: HttpRule, rpc: Rpc) -> Shape | None:
        request = rpc.descriptor.input_type
        match rule.body:
            case "":
                return None
            case "*":
                return self._of_message(request)
            case name:
                return self._of_value(request.fields_by_name[name])

    def _of_message(self, descriptor: Descriptor) -> Shape:
        if kind := WELL_KNOWN.get(descriptor.full_name):
            return Shape(kind=kind)
        known = self._messages.get(descriptor.full_name)
        if known is None:
            known = self._messages[descriptor.full_name] = MessageShape(name=descriptor.full_name)
            known.fields.update(self._fields(descriptor))
        return Shape(kind=Kind.MESSAGE, message=known)

    def _fields(self, descriptor: Descriptor) -> Iterator[tuple[str, FieldShape]]:
        for field in descriptor.fields:
            shape = self._of_field(field)
            yield field.name, shape
            yield field.json_name, shape

    def _of_field(self, field: FieldDescriptor) -> FieldShape:
        entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
        oneof = field.containing_oneof
        is_choice = oneof is not None and len(oneof.fields) > 1
        return FieldShape(
            name=field.name,
            json_name=field.json_name,
            value=self._of_value(entry.fields_by_name["value"] if entry else field),
            is_repeated=field.is_repeated and entry is None,
            map_key=SCALARS[entry.fields_by_name["key"].type] if entry else None,
            oneof=oneof.name if oneof is not None and is_choice else "",
        )

    def _of_value(self, field: FieldDescriptor) -> Shape:
        if field.message_type is not None:
            return self._of_message(field.message_type)
        if field.enum_type is not None:
            return Shape(kind=Kind.ENUM, enum={value.name: value.number for value in field.enum_type.values})
        return Shape(kind=SCALARS[field.type])
