"""JSON schemas of messages and enums, as the edge reads and writes them."""

from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from openapi_rules import apply_rules, is_required

Schema = dict[str, Any]
F = FieldDescriptor
INT32 = {"type": "integer", "format": "int32"}
UINT32 = {"type": "integer", "format": "uint32", "minimum": 0}
INT64 = {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
UINT64 = {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"}
SCALARS: dict[int, Schema] = {
    F.TYPE_STRING: {"type": "string"},
    F.TYPE_BOOL: {"type": "boolean"},
    F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    F.TYPE_FLOAT: {"type": "number", "format": "float"},
    F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    **dict.fromkeys((F.TYPE_INT32, F.TYPE_SINT32, F.TYPE_SFIXED32), INT32),
    **dict.fromkeys((F.TYPE_UINT32, F.TYPE_FIXED32), UINT32),
    **dict.fromkeys((F.TYPE_INT64, F.TYPE_SINT64, F.TYPE_SFIXED64), INT64),
    **dict.fromkeys((F.TYPE_UINT64, F.TYPE_FIXED64), UINT64),
}
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time", "examples": ["2026-01-31T09:00:00Z"]},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "examples": ["300s", "1.5s"],
    },
    "google.protobuf.FieldMask": {"type": "string", "examples": ["schedule,webhook.url"]},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Any": {"type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}}},
}
OUTPUT_ONLY = 3
PATCH = "Patch"


class Schemas:
    """Collects the schema of every message that is referred to in `components`."""

    def __init__(self, pool: DescriptorPool, comments: dict[str, str]) -> None:
        self.components: dict[str, Schema] = {}
        self._comments = comments
        self._owners: dict[str, str] = {}
        self._options: Any = GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FieldOptions"))
        self._behaviour = pool.FindExtensionByName("google.api.field_behavior")
        self._rules = pool.FindExtensionByName("buf.validate.field")
        oneof_options: Any = GetMessageClass(pool.FindMessageTypeByName("google.protobuf.OneofOptions"))
        self._oneof_options, self._oneof_rules = oneof_options, pool.FindExtensionByName("buf.validate.oneof")

    def reference(self, message: Descriptor, *, is_patch: bool = False) -> Schema:
        """A message's schema. `is_patch`: of a part of it, where what is required otherwise may be left out."""
        if known := WELL_KNOWN.get(message.full_name):
            return dict(known)
        is_patch = is_patch and self._demands(message, set())
        name = self._name(message) + (PATCH if is_patch else "")
        if name not in self.components:
            self.components[name] = {}  # A message may contain itself.
            self.components[name] = self._message(message, is_patch)
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor, *, is_patch: bool = False) -> Schema:
        """A field's schema with its comment and its rules."""
        options = self._options_of(field)
        schema = apply_rules(self._shape(field, is_patch), options.Extensions[self._rules])
        if comment := self._comments.get(field.full_name):
            schema["description"] = comment
        if OUTPUT_ONLY in options.Extensions[self._behaviour]:
            schema["readOnly"] = True
        return schema

    def _shape(self, field: FieldDescriptor, is_patch: bool) -> Schema:
        entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
        if entry:
            value = self._value(entry.fields_by_name["value"], is_patch)
            return {"type": "object", "additionalProperties": value}
        value = self._value(field, is_patch)
        return {"type": "array", "items": value} if field.is_repeated else value

    def _value(self, field: FieldDescriptor, is_patch: bool) -> Schema:
        if field.message_type is not None:
            return self.reference(field.message_type, is_patch=is_patch)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return dict(SCALARS[field.type])

    def _message(self, message: Descriptor, is_patch: bool) -> Schema:
        schema: Schema = {"type": "object", "description": self._comments.get(message.full_name, "")}
        if message.fields:
            schema["properties"] = {field.name: self.field(field, is_patch=is_patch) for field in message.fields}
        if is_patch:
            schema["description"] += " Here: the fields to change, none of which is required."
            return schema
        if required := [field.name for field in message.fields if self._is_required(field)]:
            schema["required"] = required
        choices = [self._choice(oneof) for oneof in message.oneofs if self._is_required_choice(oneof)]
        return schema | (choices[0] if len(choices) == 1 else {"allOf": choices} if choices else {})

    def _choice(self, oneof: OneofDescriptor) -> Schema:
        return {"oneOf": [{"required": [field.name]} for field in oneof.fields]}

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = self._name(enum)
        values = "\n".join(f"- `{value.name}`: {self._comments.get(_value_name(value), '')}" for value in enum.values)
        self.components[name] = {
            "type": "string",
            "enum": [value.name for value in enum.values],
            "description": f"{self._comments.get(enum.full_name, '')}\n\n{values}",
        }
        return {"$ref": f"#/components/schemas/{name}"}

    def _name(self, element: Descriptor | EnumDescriptor) -> str:
        name = str(element.full_name.removeprefix(element.file.package + ".")).replace(".", "")
        if self._owners.setdefault(name, element.full_name) != element.full_name:
            raise ValueError(f"{element.full_name} and {self._owners[name]} would both be {name} in the document")
        return name

    def _demands(self, message: Descriptor, seen: set[str]) -> bool:
        """Whether something in the message is required, at any depth."""
        if message.full_name in seen or message.full_name in WELL_KNOWN:
            return False
        seen.add(message.full_name)
        return (
            any(self._is_required(field) for field in message.fields)
            or any(self._is_required_choice(oneof) for oneof in message.oneofs)
            or any(self._demands(field.message_type, seen) for field in message.fields if field.message_type)
        )

    def _is_required(self, field: FieldDescriptor) -> bool:
        options = self._options_of(field)
        return is_required(options.Extensions[self._rules], list(options.Extensions[self._behaviour]))

    def _is_required_choice(self, oneof: OneofDescriptor) -> bool:
        options = self._oneof_options.FromString(oneof.GetOptions().SerializeToString())
        return bool(options.Extensions[self._oneof_rules].required)

    def _options_of(self, field: FieldDescriptor) -> Any:
        return self._options.FromString(field.GetOptions().SerializeToString())


def _value_name(value: Any) -> str:
    return f"{value.type.full_name}.{value.name}"
