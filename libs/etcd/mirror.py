"""A followed prefix as a mapping that answers without a call."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.etcd.values import Event, KeyValue, Snapshot
from libs.log import get_logger

T = TypeVar("T")
logger = get_logger()


class Mirror(Generic[T]):
    """The values under a prefix by the last part of their keys (or `name_of` them), kept up to date by `run`.

    While etcd is away they stay as they were. A value that cannot be read is left out, with a line in the log.
    """

    def __init__(
        self,
        client: Etcd,
        prefix: bytes,
        decode: Callable[[bytes], T],
        name_of: Callable[[bytes], str] = keys.last_part,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._decode = decode
        self._name_of = name_of
        self._values: dict[str, T] = {}
        self._signal = Signal()

    @property
    def values(self) -> Mapping[str, T]:
        """A live view."""
        return MappingProxyType(self._values)

    @property
    def version(self) -> int:
        """Grows with each change; 0 until the values were read once."""
        return self._signal.version

    async def changed(self, seen: int | None = None) -> int:
        """Waits until `version` is not `seen` (by default the present one), and returns it."""
        return await self._signal.changed(seen)

    async def run(self) -> None:
        """Follows the prefix; for ever."""
        async for update in self._client.follow(self._prefix):
            if isinstance(update, Snapshot):
                self._values.clear()
                self._learn(update.items)
            else:
                self._learn(update.events)
            self._signal.fire()

    def _learn(self, items: tuple[KeyValue, ...] | tuple[Event, ...]) -> None:
        for item in items:
            name = self._name_of(item.key)
            self._values.pop(name, None)
            if isinstance(item, Event) and item.is_delete:
                continue
            try:
                self._values[name] = self._decode(item.value)
            except DecodeError:
                logger.error("stored value is unreadable", key=item.key.decode(errors="replace"))
