"""The shape that a JSON value must have: protobuf's JSON mapping, without protobuf."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a single value is. The upper half is scalar; the rest are messages with a JSON form of their own."""

    STRING = "string"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT = "float"
    DOUBLE = "double"
    BYTES = "bytes"
    ENUM = "enum"
    MESSAGE = "message"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    FIELD_MASK = "field mask"
    ANY_OBJECT = "any object"
    ANY_LIST = "any list"
    ANY_VALUE = "any value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The shape of one value. `enum` maps names to numbers where `kind` is ENUM; `message` is there for MESSAGE."""

    kind: Kind
    enum: Mapping[str, int] = field(default_factory=dict)
    message: "MessageShape | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldShape:
    """A field of a message. `oneof` is the name of the choice that it belongs to, empty for none."""

    name: str
    json_name: str
    value: Shape
    is_repeated: bool = False
    map_key: Kind | None = None
    oneof: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageShape:
    """A message. `fields` is filled once, after all messages are known, since they may contain each other."""

    name: str
    fields: dict[str, FieldShape] = field(default_factory=dict)
    """By both spellings: the declared one, and protobuf's camelCase one."""

    @property
    def names(self) -> list[str]:
        """The declared names, in the order of declaration."""
        return list(dict.fromkeys(shape.name for shape in self.fields.values()))
