"""Where a child writes what it has to say: `<data-dir>/logs/<replica>.log`."""

from pathlib import Path
from typing import BinaryIO

LARGEST_BYTES = 16 * 1024 * 1024


def log_path(log_dir: Path, replica: str) -> Path:
    """The log of a replica."""
    return log_dir / f"{replica}.log"


def open_log(log_dir: Path, replica: str) -> BinaryIO:
    """Opens the log for appending; one that grew beyond 16 MiB is moved to `<replica>.log.1` before."""
    path = log_path(log_dir, replica)
    if path.exists() and path.stat().st_size > LARGEST_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def last_lines(path: Path, count: int, *, most_bytes: int = 1024 * 1024) -> list[str]:
    """The last `count` lines of a log, taken from at most its last `most_bytes`."""
    if count <= 0 or not path.exists():
        return []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - most_bytes))
        return file.read().decode(errors="replace").splitlines()[-count:]
