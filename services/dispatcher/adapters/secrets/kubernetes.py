"""Kubernetes Secrets, read from the API server with the token of the pod's service account."""

import asyncio
import base64
import binascii
from pathlib import Path

from pyreqwest.client import Client

from services.dispatcher.adapters.secrets.json_api import away, call, inner, missing, open_client
from services.dispatcher.domain.results import Failure


class KubernetesSecrets:
    """Secrets of one namespace, named `secret/key`. See SecretSource.

    `mount` is where the pod finds token, CA certificate and namespace of its service account; they are read each time,
    since they change. An empty `namespace` means the pod's own.
    """

    def __init__(self, url: str, *, mount: str, namespace: str = "") -> None:
        self._url = url.rstrip("/")
        self._mount = Path(mount)
        self._namespace = namespace
        self._authority = b""
        self._client: Client | None = None

    async def read(self, name: str) -> str | Failure:
        """See SecretSource."""
        try:
            token, authority, namespace = await asyncio.to_thread(self._account)
        except OSError:
            return away(f"the dispatcher has no Kubernetes service account in {self._mount}")
        client = await self._find_client(authority)
        secret, _, key = name.partition("/")
        url = f"{self._url}/api/v1/namespaces/{namespace}/secrets/{secret}"
        answer = await call(client, "GET", url, {"Authorization": f"Bearer {token}", "Accept": "application/json"})
        if isinstance(answer, Failure):
            return answer
        if answer.status == 404:
            return missing(f"there is no such Secret in the Kubernetes namespace {namespace}")
        if answer.status in (401, 403):
            return away(
                f"Kubernetes does not let the dispatcher's service account read it ({answer.status}); allow it to get "
                f"Secrets of the namespace {namespace}"
            )
        if answer.status != 200:
            return away(f"Kubernetes answered {answer.status}")
        return _decoded(inner(answer.content, "data").get(key), key)

    async def close(self) -> None:
        """Closes all connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _account(self) -> tuple[str, bytes, str]:
        authority = self._mount / "ca.crt"
        return (
            (self._mount / "token").read_text().strip(),
            authority.read_bytes() if authority.exists() else b"",
            self._namespace or (self._mount / "namespace").read_text().strip(),
        )

    async def _find_client(self, authority: bytes) -> Client:
        if self._client is None or authority != self._authority:
            await self.close()
            self._client, self._authority = open_client(authority), authority
        return self._client


def _decoded(value: object, key: str) -> str | Failure:
    if not isinstance(value, str):
        return missing(f'the Secret has no key "{key}"')
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return missing("its value is no UTF-8 text")
