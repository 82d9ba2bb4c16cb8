"""What etcd answers with, as plain values."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValue:
    """A key as it was at some revision. `lease` 0 means that it belongs to none."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Keys in order, all as of one revision of the store."""

    revision: int
    items: tuple[KeyValue, ...]
    has_more: bool


class EventKind(StrEnum):
    """What happened to a key."""

    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of one key. Of a deleted key only `key` and `mod_revision` are known; the rest is empty or 0."""

    kind: EventKind
    key: bytes
    mod_revision: int
    value: bytes = b""
    create_revision: int = 0

    @property
    def is_delete(self) -> bool:
        """Whether the key is gone, by hand or with its lease."""
        return self.kind is EventKind.DELETE


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All keys of a followed prefix: forget what was known, this is the truth as of `revision`."""

    revision: int
    items: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What happened to a followed prefix since the last element, oldest first; whole transactions up to `revision`."""

    revision: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """How one etcd server does. `error` is empty when it answered."""

    endpoint: str
    is_healthy: bool
    is_leader: bool = False
    version: str = ""
    db_size_bytes: int = 0
    error: str = ""
