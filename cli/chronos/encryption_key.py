"""The key that the secrets of stored jobs are encrypted with."""

import base64
import secrets

from cli.chronos.mesh_token import OWNER_ONLY
from cli.chronos.state import write_whole
from cli.chronos.topology import MeshOptions

KEY_BYTES = 32


def encryption_keys(options: MeshOptions, given: str) -> str:
    """The keys given, else the one kept in `<data-dir>/encryption.key`, which is made when there is none.

    None is made for an etcd that runs already: schedulers elsewhere may use it too, and must know the same key.
    """
    path = options.data_dir / "encryption.key"
    if given:
        return given
    if not path.exists():
        if options.etcd_endpoints:
            return ""
        write_whole(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n", mode=OWNER_ONLY)
    return path.read_text().strip()
