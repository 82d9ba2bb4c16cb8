"""`chronos key`: API keys, written straight to the etcd of a running mesh."""

import re
from collections.abc import Sequence
from pathlib import Path

from chronos.auth.v1.api_key_pb2 import ApiKey

from cli.chronos.cluster import connected
from cli.chronos.errors import MISUSED, MeshError
from cli.chronos.settings import MeshSettings
from cli.chronos.state import load_running
from libs.clock import Clock
from libs.etcd.api_keys import delete_key, list_keys, store_key
from libs.names import is_id
from libs.rpc.credentials import new_key

PERMISSION = re.compile(r"\*|[a-z]+:(\*|[a-z]+)")


def split_permissions(text: str) -> list[str]:
    """Reads `job:read,execution:*`. Raises MeshError."""
    parts = _parts(text)
    for part in parts:
        if not PERMISSION.fullmatch(part):
            raise MeshError(f"--permissions {part!r}: must be RESOURCE:VERB, RESOURCE:* or *", exit_code=MISUSED)
    if not parts:
        raise MeshError("--permissions: name at least one, for example job:read", exit_code=MISUSED)
    return parts


def split_namespaces(text: str) -> list[str]:
    """Reads `default,team-a`. Raises MeshError."""
    parts = _parts(text)
    for part in parts:
        if part != "*" and not is_id(part):
            raise MeshError(f"--namespaces {part!r}: must be a namespace's id, or * for all", exit_code=MISUSED)
    if not parts:
        raise MeshError("--namespaces: name at least one, for example default", exit_code=MISUSED)
    return parts


async def create(data_dir: Path, name: str, permissions: Sequence[str], namespaces: Sequence[str], clock: Clock) -> str:
    """Makes a key and returns its text, which nobody can look up again."""
    text, key = new_key(name, permissions, namespaces, clock)
    async with connected(load_running(data_dir).etcd_endpoints, MeshSettings(), clock) as client:
        await store_key(client, key)
    return text


async def show(data_dir: Path, clock: Clock) -> list[ApiKey]:
    """Every key, without its secret."""
    async with connected(load_running(data_dir).etcd_endpoints, MeshSettings(), clock) as client:
        return await list_keys(client)


async def revoke(data_dir: Path, key_id: str, clock: Clock) -> None:
    """Makes a key invalid from now on. Raises MeshError when there is none with this id."""
    async with connected(load_running(data_dir).etcd_endpoints, MeshSettings(), clock) as client:
        if not await delete_key(client, key_id):
            raise MeshError(f"there is no key {key_id}; see `chronos key list`")


def _parts(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]
