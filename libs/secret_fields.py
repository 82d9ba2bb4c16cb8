"""Fields of messages that are never shown: those with the option `is_secret`, wherever they are nested."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from chronos.options.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from libs.redaction import MASK
from libs.secret_references import is_reference


@dataclass(frozen=True, slots=True)
class _Branch:
    """A field that is a secret, or a message that may hold some."""

    field: FieldDescriptor
    is_secret: bool


def mask(message: Message) -> None:
    """Puts `********` in the place of every secret that is there. What is empty, or refers to a secret, stays so."""
    for branch in _branches(message.DESCRIPTOR):
        name = branch.field.name
        if not branch.is_secret:
            for inner in _inner(message, branch.field):
                mask(inner)
        elif branch.field.is_repeated:
            secrets = getattr(message, name)
            secrets[:] = [_masked(secret) for secret in secrets]
        elif secret := getattr(message, name):
            setattr(message, name, _masked(secret))


def unmask(message: Message, stored: Message) -> list[str]:
    """Puts the stored secrets in the places of masks that come back; gives the paths of those without one.

    Both are of one type. Secrets in a list are found by their places.
    """
    return list(_unmask(message, stored, ""))


def has_secrets(message: Message) -> bool:
    """Whether it holds anything that a mask would hide."""
    for branch in _branches(message.DESCRIPTOR):
        if branch.is_secret:
            if getattr(message, branch.field.name):
                return True
        elif any(has_secrets(inner) for inner in _inner(message, branch.field)):
            return True
    return False


def change_secrets(message: Message, change: Callable[[str, str], str]) -> None:
    """Puts `change(path, secret)` in the place of every secret that is there. Paths name places in lists."""
    _change(message, change, "")


def secret_paths(descriptor: Descriptor) -> frozenset[str]:
    """The paths of all secrets of a type, for example `webhook.auth.basic.password`; places in lists do not count."""
    return frozenset(_paths(descriptor, ""))


def _masked(secret: str) -> str:
    return secret if is_reference(secret) else MASK


def _change(message: Message, change: Callable[[str, str], str], prefix: str) -> None:
    for branch in _branches(message.DESCRIPTOR):
        name, path = branch.field.name, prefix + branch.field.name
        if not branch.is_secret:
            for place, inner in enumerate(_inner(message, branch.field)):
                _change(inner, change, f"{path}[{place}]." if branch.field.is_repeated else f"{path}.")
        elif branch.field.is_repeated:
            secrets = getattr(message, name)
            secrets[:] = [change(f"{path}[{place}]", secret) for place, secret in enumerate(secrets)]
        elif secret := getattr(message, name):
            setattr(message, name, change(path, secret))


def _unmask(message: Message, stored: Message, prefix: str) -> Iterator[str]:
    for branch in _branches(message.DESCRIPTOR):
        name, path = branch.field.name, prefix + branch.field.name
        if not branch.is_secret:
            if branch.field.is_repeated:
                for place, inner in enumerate(getattr(message, name)):
                    known = getattr(stored, name)
                    with_secrets = known[place] if place < len(known) else type(inner)()
                    yield from _unmask(inner, with_secrets, f"{path}[{place}].")
            elif message.HasField(name):
                yield from _unmask(getattr(message, name), getattr(stored, name), f"{path}.")
        elif branch.field.is_repeated:
            given, known = getattr(message, name), getattr(stored, name)
            for place in range(len(given)):
                if given[place] == MASK and place < len(known):
                    given[place] = known[place]
                elif given[place] == MASK:
                    yield f"{path}[{place}]"
        elif getattr(message, name) == MASK:
            if not getattr(stored, name):
                yield path
            setattr(message, name, getattr(stored, name))


def _inner(message: Message, field: FieldDescriptor) -> Iterator[Message]:
    if field.is_repeated:
        yield from getattr(message, field.name)
    elif message.HasField(field.name):
        yield getattr(message, field.name)


@cache
def _branches(descriptor: Descriptor) -> tuple[_Branch, ...]:
    """The fields that matter. Types that contain themselves would not end: none of ours with secrets does."""
    found = []
    for field in descriptor.fields:
        is_secret = field.GetOptions().Extensions[options_pb2.is_secret]
        nested = field.message_type
        if is_secret or (nested is not None and _is_ours(nested) and secret_paths(nested)):
            found.append(_Branch(field, is_secret))
    return tuple(found)


def _is_ours(descriptor: Descriptor) -> bool:
    return descriptor.file.package.startswith("chronos.") and not descriptor.GetOptions().map_entry


def _paths(descriptor: Descriptor, prefix: str) -> Iterator[str]:
    for branch in _branches(descriptor):
        path = prefix + branch.field.name
        if branch.is_secret:
            yield path
        elif branch.field.message_type is not None:
            yield from _paths(branch.field.message_type, f"{path}.")
