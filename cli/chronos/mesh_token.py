"""The secret that the services of one mesh prove themselves to each other with."""

import secrets
from pathlib import Path

from cli.chronos.state import write_whole

OWNER_ONLY = 0o600


def mesh_token(data_dir: Path, given: str) -> str:
    """The token given, else the one kept in `<data-dir>/mesh.token`, which is made when there is none."""
    if given:
        return given
    path = data_dir / "mesh.token"
    if not path.exists():
        write_whole(path, secrets.token_urlsafe(32) + "\n", mode=OWNER_ONLY)
    return path.read_text().strip()
