"""API keys at hand."""

from chronos.auth.v1.api_key_pb2 import ApiKey


class FakeKeyDirectory:
    """Holds the keys that it is given."""

    def __init__(self, *keys: ApiKey, is_ready: bool = True) -> None:
        self.keys = {key.id: key for key in keys}
        self.is_ready = is_ready

    def find(self, key_id: str) -> ApiKey | None:
        return self.keys.get(key_id)
