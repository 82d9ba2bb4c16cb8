"""A small disk for the database, seen only by this process and those that it starts: so it can be filled."""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
SIZE = "768m"
FILLER = "filler"
STEP = 1 << 20


def make_small_disk(folder: Path) -> str:
    """Mounts a file system in memory at `folder`, in a mount namespace of this process's own: it ends with the process.

    Gives what kept it from doing so, empty when it worked. Call it before anything else is started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    steps: tuple[Callable[[], int], ...] = (
        lambda: libc.unshare(CLONE_NEWNS),
        lambda: libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
        lambda: libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={SIZE}".encode()),
    )
    for step in steps:
        if step() != 0:
            return f"no disk of its own for the database: {os.strerror(ctypes.get_errno())}"
    return ""


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No byte is free on the disk of `folder` inside the block."""
    filler = folder / FILLER
    try:
        _fill(filler)
        yield
    finally:
        filler.unlink(missing_ok=True)


def _fill(filler: Path) -> None:
    block = b"\0" * STEP
    with filler.open("wb", buffering=0) as file:
        for size in (STEP, 4096):
            with contextlib.suppress(OSError):
                while file.write(block[:size]):
                    pass
