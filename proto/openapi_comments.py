"""The comments of a descriptor set, by the full name of what they describe."""

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

# Field numbers in descriptor.proto, which source positions are made of.
FILE_PARTS = ((4, "message_type"), (5, "enum_type"), (6, "service"))
PARTS = {
    "message_type": ((2, "field"), (3, "nested_type"), (4, "enum_type"), (8, "oneof_decl")),
    "nested_type": ((2, "field"), (3, "nested_type"), (4, "enum_type"), (8, "oneof_decl")),
    "enum_type": ((2, "value"),),
    "service": ((2, "method"),),
}


def read_comments(descriptor_set: bytes) -> dict[str, str]:
    """What is said of each message, field, oneof, enum, value, service and method; empty when nothing is."""
    comments: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        said = {tuple(place.path): _plain(place.leading_comments) for place in file.source_code_info.location}
        for name, path in _elements(file):
            comments[name] = said.get(path, "")
    return comments


def _elements(file: FileDescriptorProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _inside(file, FILE_PARTS, file.package, ())


def _inside(
    parent: Any, parts: tuple[tuple[int, str], ...], name: str, path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for number, part in parts:
        for index, element in enumerate(getattr(parent, part)):
            here = (f"{name}.{element.name}", (*path, number, index))
            yield here
            yield from _inside(element, PARTS.get(part, ()), *here)


def _plain(comment: str) -> str:
    """A comment as Markdown: its line breaks are those of the source, except between paragraphs."""
    paragraphs = re.split(r"\n\s*\n", comment.strip())
    return "\n\n".join(" ".join(line.strip() for line in paragraph.splitlines()) for paragraph in paragraphs)
