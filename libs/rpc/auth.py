"""Who may call: API keys and the mesh's own token, checked against what each RPC demands."""

import hmac
from collections.abc import Iterable, Mapping
from typing import Protocol

from chronos.auth.v1.api_key_pb2 import ApiKey
from google.protobuf.message import Message

from libs.clock import Clock
from libs.faults import Forbidden, Unauthenticated, Unavailable
from libs.rpc.context import ANYBODY, MESH, Principal
from libs.rpc.credentials import is_expired, is_secret_of, new_key, parse_key, stored_key
from libs.rpc.methods import Method

__all__ = ["Authenticator", "Gate", "KeyDirectory", "new_key", "parse_key", "presented_key", "stored_key"]

MESH_TOKEN = "x-chronos-mesh-token"
API_KEY = "x-api-key"
AUTHORIZATION = "authorization"
SCHEMES = ("bearer", "apikey")
HOW_TO = "send it in the X-API-Key header or as Authorization: Bearer"


class KeyDirectory(Protocol):
    """The stored keys, at hand without waiting."""

    @property
    def is_ready(self) -> bool:
        """Whether the keys have been read at least once."""

    def find(self, key_id: str) -> ApiKey | None:
        """The stored key of that id."""


class Authenticator:
    """Tells who presents an API key."""

    def __init__(self, keys: KeyDirectory, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def identify(self, presented: str) -> Principal:
        """The owner of the key. Raises Unauthenticated, or Unavailable while the keys have not been read yet."""
        if not presented:
            raise Unauthenticated(f"an API key is missing; {HOW_TO}", reason="API_KEY_MISSING")
        text = parse_key(presented)
        if text is None:
            raise Unauthenticated(
                f"that is not an API key, which looks like chronos_<id>_<secret>; {HOW_TO}", reason="API_KEY_MALFORMED"
            )
        key = self._keys.find(text.id)
        if key is None and not self._keys.is_ready:
            raise Unavailable("the API keys have not been read yet; try again in a moment", reason="KEYS_NOT_READ")
        if key is None or not is_secret_of(key, text.secret):
            raise Unauthenticated(
                "the API key is not valid; check it for typing errors or ask for a new one", reason="API_KEY_INVALID"
            )
        if is_expired(key, self._clock.now()):
            expiry = key.expires_at.ToJsonString()
            raise Unauthenticated(f"the API key expired at {expiry}; ask for a new one", reason="API_KEY_EXPIRED")
        return Principal(id=key.id, name=key.name, permissions=tuple(key.permissions), namespaces=tuple(key.namespaces))


class Gate:
    """Lets a call in or raises why not: token or key first, then the permission, then the namespace."""

    def __init__(self, authenticator: Authenticator | None, mesh_token: str) -> None:
        self._authenticator = authenticator
        self._mesh_token = mesh_token.encode()

    def check_method(self, method: Method) -> None:
        """Raises ValueError when nobody could ever be let in to `method`."""
        if method.is_internal and not self._mesh_token:
            raise ValueError("mesh_token is empty; set CHRONOS_MESH_TOKEN to the same secret in every service")
        if method.permission and self._authenticator is None:
            raise ValueError(f"{method.path} needs API keys, but the server was given no authenticator")

    def identify(self, method: Method, metadata: Mapping[str, str | bytes]) -> Principal:
        """Who calls. Raises Unauthenticated or Forbidden when they may not call `method` in any namespace."""
        if method.is_public:
            return ANYBODY
        if method.is_internal:
            return self._identify_service(metadata)
        if self._authenticator is None:
            raise Forbidden(f"{method.name} cannot be called here", reason="NO_AUTHENTICATOR")
        principal = self._authenticator.identify(presented_key(metadata))
        if not principal.has_permission(method.permission):
            raise Forbidden(
                f'the API key "{principal.name}" lacks the permission {method.permission}; use a key that has it',
                reason="PERMISSION_MISSING",
                metadata={"permission": method.permission},
            )
        return principal

    def namespace(self, method: Method, principal: Principal, request: Message) -> str:
        """The namespace that a request is about. Raises Forbidden when the principal may not work in it."""
        namespace = method.namespace_of(request)
        if method.permission and namespace and not principal.has_namespace(namespace):
            raise Forbidden(
                f'the API key "{principal.name}" has no access to the namespace "{namespace}"; use a key that has it',
                reason="NAMESPACE_FORBIDDEN",
                metadata={"namespace": namespace},
            )
        return namespace

    def _identify_service(self, metadata: Mapping[str, str | bytes]) -> Principal:
        token = _text(metadata.get(MESH_TOKEN)).encode()
        if not self._mesh_token or not hmac.compare_digest(token, self._mesh_token):
            raise Forbidden(
                "only services of this mesh may call this; they must share the same mesh token",
                reason="INTERNAL_METHOD",
            )
        return MESH


def presented_key(metadata: Mapping[str, str | bytes]) -> str:
    """The API key in a call's metadata, empty when there is none. What is in front of a key is not judged here."""
    if key := _text(metadata.get(API_KEY)).strip():
        return key
    authorization = _text(metadata.get(AUTHORIZATION)).strip()
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() in SCHEMES else authorization


def last_values(metadata: Iterable[tuple[str, str | bytes]]) -> dict[str, str | bytes]:
    """Metadata by key; of a key that is given twice, the last."""
    return {key: value for key, value in metadata}  # noqa: C416 - metadata items are pairs, yet not tuples of two


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""
