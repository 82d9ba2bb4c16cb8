"""Prints a file descriptor as `.proto` source that declares the same names, numbers and types.

Enough for a compiler to resolve references against it; options, comments and defaults are left out.
"""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

Field = FieldDescriptorProto
LABELS = {Field.LABEL_OPTIONAL: "optional ", Field.LABEL_REPEATED: "repeated ", Field.LABEL_REQUIRED: "required "}


def proto_text(file: FileDescriptorProto) -> str:
    """The source of a proto2 or proto3 file."""
    lines = [f'syntax = "{file.syntax or "proto2"}";', f"package {file.package};"]
    lines += [f'import "{name}";' for name in file.dependency]
    for enum in file.enum_type:
        lines += enum_lines(enum)
    for message in file.message_type:
        lines += message_lines(message, file.syntax)
    for extension in file.extension:
        lines += [f"extend {extension.extendee} {{", field_line(extension, file.syntax), "}"]
    return "\n".join(lines) + "\n"


def message_lines(message: DescriptorProto, syntax: str) -> Iterator[str]:
    """A message with all that is nested in it."""
    yield f"message {message.name} {{"
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    for nested in message.nested_type:
        if nested.name not in entries:
            yield from message_lines(nested, syntax)
    for enum in message.enum_type:
        yield from enum_lines(enum)
    for index, oneof in enumerate(message.oneof_decl):
        members = [f for f in message.field if f.HasField("oneof_index") and f.oneof_index == index]
        if not any(field.proto3_optional for field in members):
            yield f"oneof {oneof.name} {{"
            yield from (f"{type_name(field)} {field.name} = {field.number};" for field in members)
            yield "}"
    for field in message.field:
        if not field.HasField("oneof_index") or field.proto3_optional:
            entry = entries.get(field.type_name.rsplit(".", 1)[-1])
            if entry is not None:
                key, value = (type_name(part) for part in entry.field)
                yield f"map<{key}, {value}> {field.name} = {field.number};"
            else:
                yield field_line(field, syntax)
    for span in message.extension_range:
        yield f"extensions {span.start} to {span.end - 1 if span.end < 536870912 else 'max'};"
    yield "}"


def enum_lines(enum: EnumDescriptorProto) -> Iterator[str]:
    """An enum with its values."""
    yield f"enum {enum.name} {{"
    if enum.options.allow_alias:
        yield "option allow_alias = true;"
    yield from (f"{value.name} = {value.number};" for value in enum.value)
    yield "}"


def field_line(field: FieldDescriptorProto, syntax: str) -> str:
    """A field outside any oneof."""
    is_implicit = syntax == "proto3" and field.label == Field.LABEL_OPTIONAL and not field.proto3_optional
    return f"{'' if is_implicit else LABELS[field.label]}{type_name(field)} {field.name} = {field.number};"


def type_name(field: FieldDescriptorProto) -> str:
    """The type as source names it: `int32`, or a full name with its leading dot."""
    return field.type_name or Field.Type.Name(field.type).removeprefix("TYPE_").lower()
