"""The first API key of a cluster: how anybody gets in at all."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from cli.chronos.errors import MISUSED, MeshError
from cli.chronos.mesh_token import OWNER_ONLY
from cli.chronos.state import write_whole
from libs.clock import Clock
from libs.etcd.api_keys import list_keys, store_key
from libs.etcd.port import Etcd
from libs.rpc.credentials import new_key, parse_key, stored_key

ADMIN = "admin"
EVERYTHING = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstKey:
    """How callers get in. `fresh` is the text of a key made just now, to be shown once; else it is empty.

    `shell` is what a shell puts the key in place of.
    """

    where: str
    shell: str
    fresh: str = ""


def key_file(data_dir: Path) -> Path:
    """Where the first API key is kept."""
    return data_dir / "admin.key"


async def ensure_first_key(client: Etcd, data_dir: Path, given: SecretStr, clock: Clock) -> FirstKey:
    """Makes sure that the cluster has an API key: the one given, or a new one when it has none at all.

    etcd gets the hash only. A new key's text goes to `<data-dir>/admin.key`, readable by its owner alone, before the
    hash is stored: a key that works is never lost.
    """
    if given.get_secret_value():
        return await _store_given(client, given, clock)
    path = key_file(data_dir)
    if await list_keys(client):
        if path.exists():
            return FirstKey(where=str(path), shell=f"$(cat {path})")
        another = "chronos key create --name NAME --permissions '*' --namespaces '*'"
        return FirstKey(where=f"made earlier; for another one: {another}", shell="…")
    text, key = new_key(ADMIN, EVERYTHING, EVERYTHING, clock)
    write_whole(path, text + "\n", mode=OWNER_ONLY)
    await store_key(client, key)
    return FirstKey(where=str(path), shell=f"$(cat {path})", fresh=text)


def check_given(given: SecretStr) -> None:
    """Raises MeshError for a CHRONOS_ADMIN_KEY that is set and is not a key."""
    if given.get_secret_value() and parse_key(given.get_secret_value()) is None:
        message = "CHRONOS_ADMIN_KEY is not an API key; it must look like chronos_<12 characters>_<43 characters>"
        raise MeshError(message, exit_code=MISUSED)


async def _store_given(client: Etcd, given: SecretStr, clock: Clock) -> FirstKey:
    key = stored_key(given.get_secret_value(), ADMIN, EVERYTHING, EVERYTHING, clock)
    if not any((known.id, known.secret_hash) == (key.id, key.secret_hash) for known in await list_keys(client)):
        await store_key(client, key)
    return FirstKey(where="the one in CHRONOS_ADMIN_KEY", shell="$CHRONOS_ADMIN_KEY")
