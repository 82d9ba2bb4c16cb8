"""Which process of the mesh opened a connection: told from the port that it dials from, with the help of the kernel."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.faults.socket_inode import inode_of

OUTSIDE = "outside"
"""Whoever is no process of the mesh."""
GUESSES = {"receiver": ("dispatcher",), "postgres": ("history",), "peer": ("etcd",)}
"""Who dials what: so that only few processes must be looked at."""


class Dialers:
    """Names of the processes that `mesh.json` lists. Reads the file again when it has changed."""

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file
        self._read_at = 0
        self._pids: dict[int, str] = {}

    def name_of(self, dialed_from: int, dialed: int, services: tuple[str, ...] = ()) -> str:
        """The replica whose socket on port `dialed_from` is connected to port `dialed`; `OUTSIDE` for strangers.

        `services` are the only ones whose replicas are looked at; all when there are none.
        """
        inode = inode_of(dialed_from, dialed)
        if inode is None:
            return OUTSIDE
        self._refresh()
        wanted = f"socket:[{inode}]"
        likely = [item for item in self._pids.items() if not services or item[1].rpartition("-")[0] in services]
        return next((name for pid, name in likely if _has_open(pid, wanted)), OUTSIDE)

    def _refresh(self) -> None:
        try:
            changed_at = self._state_file.stat().st_mtime_ns
            if changed_at != self._read_at:
                self._pids = _pids(json.loads(self._state_file.read_text())["processes"])
                self._read_at = changed_at
        except (OSError, ValueError, KeyError):
            return


def likely_dialers(link: str) -> tuple[str, ...]:
    """The services that dial a link of this name, as far as its name tells."""
    node, _, use = link.partition("/")
    return GUESSES.get(node, GUESSES.get(use, ()))


def _pids(processes: Iterable[Mapping[str, object]]) -> dict[int, str]:
    return {int(str(one["pid"])): str(one["replica"]) for one in processes if one.get("pid")}


def _has_open(pid: int, wanted: str) -> bool:
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for number in reversed(os.listdir(folder)):  # noqa: PTH208 - called often
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{number}") == wanted:  # noqa: PTH115 - as above
                    return True
    return False
