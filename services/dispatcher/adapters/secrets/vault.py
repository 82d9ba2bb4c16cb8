"""Secrets in HashiCorp Vault or OpenBao: the key-value engine, version 1 or 2."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from libs.clock import Clock
from services.dispatcher.adapters.secrets.json_api import JsonAnswer, away, call, inner, missing, open_client
from services.dispatcher.domain.results import Failure

DENIED = 403
# Of a token's life, after which another one is taken.
RENEWAL = 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAccess:
    """Where Vault is, and who we are there: a `token`, or a `role` of its Kubernetes authentication."""

    address: str
    mount: str = "secret"
    version: int = 2
    vault_namespace: str = ""
    token: str = field(default="", repr=False)
    role: str = ""
    auth_mount: str = "kubernetes"
    account_token: str = ""
    """File with the token of the pod's service account, which stands for the role."""
    authority: bytes = field(default=b"", repr=False)


class VaultSecrets:
    """Secrets named `mount/path:field`. See SecretSource."""

    def __init__(self, access: VaultAccess, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._url = access.address.rstrip("/")
        self._client = open_client(access.authority)
        self._token = access.token
        self._renew_at = float("inf")

    async def read(self, name: str) -> str | Failure:
        """See SecretSource."""
        path, _, key = name.rpartition(":")
        mount = self._access.mount
        if not path.startswith(f"{mount}/"):
            return missing(f"secrets are read from the mount {mount} alone: write {mount}/PATH:FIELD")
        answer = await self._get(path.removeprefix(f"{mount}/"))
        if isinstance(answer, Failure):
            return answer
        if answer.status == 404:
            return missing("Vault has no secret there")
        if answer.status == DENIED:
            return away("Vault does not let the dispatcher read it (403): its token or policy does not allow it")
        if answer.status != 200:
            return away(f"Vault answered {answer.status}{' (sealed or in standby)' if answer.status == 503 else ''}")
        fields = inner(answer.content, "data", "data") if self._access.version == 2 else inner(answer.content, "data")
        value = fields.get(key)
        return value if isinstance(value, str) else missing(f'the secret has no text in a field "{key}"')

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.close()

    async def _get(self, path: str) -> JsonAnswer | Failure:
        """Asks for a secret; once more, as somebody who has just logged in, when the token is no longer good."""
        data = "data/" if self._access.version == 2 else ""
        url = f"{self._url}/v1/{quote(self._access.mount)}/{data}{quote(path)}"
        is_new = await self._log_in_when_due()
        if isinstance(is_new, Failure):
            return is_new
        answer = await call(self._client, "GET", url, self._headers(self._token))
        if isinstance(answer, Failure) or answer.status != DENIED or is_new or not self._access.role:
            return answer
        refusal = await self._log_in()
        return refusal or await call(self._client, "GET", url, self._headers(self._token))

    async def _log_in_when_due(self) -> bool | Failure:
        """Whether there is a new token."""
        if not self._access.role or (self._token and self._clock.monotonic() < self._renew_at):
            return False
        return await self._log_in() or True

    async def _log_in(self) -> Failure | None:
        """See https://developer.hashicorp.com/vault/api-docs/auth/kubernetes#login."""
        try:
            jwt = (await asyncio.to_thread(Path(self._access.account_token).read_text)).strip()
        except OSError:
            return away(f"the dispatcher has no Kubernetes service account in {self._access.account_token}")
        url = f"{self._url}/v1/auth/{quote(self._access.auth_mount)}/login"
        answer = await call(self._client, "POST", url, self._headers(""), {"role": self._access.role, "jwt": jwt})
        if isinstance(answer, Failure):
            return answer
        auth = inner(answer.content, "auth")
        if answer.status != 200 or not isinstance(auth.get("client_token"), str):
            return away(f"Vault does not let the dispatcher log in as {self._access.role} ({answer.status})")
        self._token = auth["client_token"]
        seconds = auth.get("lease_duration")
        lifetime = seconds * RENEWAL if isinstance(seconds, int) and seconds > 0 else float("inf")
        self._renew_at = self._clock.monotonic() + lifetime
        return None

    def _headers(self, token: str) -> Mapping[str, str]:
        headers = {"X-Vault-Request": "true"}
        if token:
            headers["X-Vault-Token"] = token
        if self._access.vault_namespace:
            headers["X-Vault-Namespace"] = self._access.vault_namespace
        return headers
