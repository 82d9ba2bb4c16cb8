"""API keys in etcd, and a mirror of them that answers without a call."""

from chronos.auth.v1.api_key_pb2 import ApiKey

from libs.etcd import keys
from libs.etcd.mirror import Mirror
from libs.etcd.port import Etcd


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
        self._mirror = Mirror(client, keys.API_KEYS, ApiKey.FromString)

    def find(self, key_id: str) -> ApiKey | None:
        """The key of that id, expired or not."""
        return self._mirror.values.get(key_id)

    @property
    def is_ready(self) -> bool:
        """Whether the keys were read at least once."""
        return self._mirror.version > 0

    async def ready(self) -> None:
        """Waits until the keys were read."""
        while not self.is_ready:
            await self._mirror.changed()

    async def run(self) -> None:
        """Follows the keys; for ever."""
        await self._mirror.run()
