"""Secrets in files, as mounted by Kubernetes, Docker and systemd."""

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from services.dispatcher.domain.results import Failure, FailureKind

MOST_BYTES = 64 * 1024


class FileSecrets:
    """Files below certain directories, of at most 64 KiB; one newline at their end is cut off. See SecretSource.

    Links are followed first, and what they lead to must be below the directories, too.
    """

    def __init__(self, directories: Sequence[str]) -> None:
        self._directories = directories

    async def read(self, name: str) -> str | Failure:
        """See SecretSource."""
        return await asyncio.to_thread(self._read, name)

    def _read(self, name: str) -> str | Failure:
        try:
            path = Path(name).resolve()
        except (OSError, RuntimeError):
            return _outside()
        if not self._is_below(path):
            return _outside()
        try:
            return _contents(path)
        except FileNotFoundError:
            return _invalid("there is no such file")
        except OSError as error:
            return Failure(kind=FailureKind.UNREADY, error=f"the file cannot be read ({error.strerror})")

    def _is_below(self, path: Path) -> bool:
        return any(path.is_relative_to(Path(directory).resolve()) for directory in self._directories)


def _contents(path: Path) -> str | Failure:
    # The path has no links any more. Whoever puts one there now finds it refused; nor does a pipe hold anybody up.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return _invalid("it is no plain file")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        return _invalid(f"the file is larger than {MOST_BYTES:,} bytes")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return _invalid("the file is no UTF-8 text")


def _outside() -> Failure:
    return _invalid("it is not below a directory that secrets are read from (secret_directories)")


def _invalid(error: str) -> Failure:
    return Failure(kind=FailureKind.INVALID, error=error)
