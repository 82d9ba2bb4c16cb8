"""API keys in etcd, and a mirror of them that answers without a call."""

from chronos.auth.v1.api_key_pb2 import ApiKey
from google.protobuf.message import DecodeError

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.etcd.values import Event, KeyValue, Snapshot
from libs.log import get_logger

logger = get_logger()


async def store_key(client: Etcd, key: ApiKey) -> None:
    """Adds a key, or replaces the one of that id."""
    await client.put(keys.api_key(key.id), key.SerializeToString())


async def list_keys(client: Etcd) -> list[ApiKey]:
    """All keys, in the order of their ids."""
    listing = await client.list_prefix(keys.API_KEYS)
    return [ApiKey.FromString(item.value) for item in listing.items]


async def delete_key(client: Etcd, key_id: str) -> bool:
    """Deletes a key and says whether it was there. Services refuse it as soon as they see the change."""
    return await client.delete(keys.api_key(key_id))


class EtcdKeyDirectory:
    """All API keys, kept up to date by `run`. While etcd is away the keys known last stay good."""

    def __init__(self, client: Etcd) -> None:
        self._client = client
        self._keys: dict[str, ApiKey] = {}
        self._signal = Signal()

    def find(self, key_id: str) -> ApiKey | None:
        """The key of that id, expired or not."""
        return self._keys.get(key_id)

    @property
    def is_ready(self) -> bool:
        """Whether the keys were read at least once."""
        return self._signal.version > 0

    async def ready(self) -> None:
        """Waits until the keys were read."""
        while not self.is_ready:
            await self._signal.changed()

    async def run(self) -> None:
        """Follows the keys; for ever."""
        async for update in self._client.follow(keys.API_KEYS):
            if isinstance(update, Snapshot):
                self._keys.clear()
                self._learn(update.items)
            else:
                self._learn(update.events)
            self._signal.fire()

    def _learn(self, items: tuple[KeyValue, ...] | tuple[Event, ...]) -> None:
        for item in items:
            key_id = keys.last_part(item.key)
            self._keys.pop(key_id, None)
            if isinstance(item, Event) and item.is_delete:
                continue
            try:
                self._keys[key_id] = ApiKey.FromString(item.value)
            except DecodeError:
                logger.error("stored api key is unreadable", key_id=key_id)
