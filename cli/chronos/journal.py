"""Keeps `mesh.json` true while a mesh runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cli.chronos.state import MeshState, Phase, ProcessState, save, state_path


class Journal:
    """Writes the whole state at each change. A disk that is full is told once and does not stop the mesh."""

    def __init__(self, data_dir: Path, state: MeshState, tell: Callable[[str], None]) -> None:
        self._data_dir = data_dir
        self._state = state
        self._tell = tell
        self._processes: dict[str, ProcessState] = {}
        self._is_writable = True

    def note(self, process: ProcessState) -> None:
        """A process was started, or has ended."""
        self._processes[process.replica] = process
        self._write()

    def enter(self, phase: Phase) -> None:
        """The mesh as a whole got further."""
        self._state = replace(self._state, phase=phase)
        self._write()

    def forget(self) -> None:
        """The mesh is over."""
        state_path(self._data_dir).unlink(missing_ok=True)

    def _write(self) -> None:
        try:
            save(self._data_dir, replace(self._state, processes=tuple(self._processes.values())))
            self._is_writable = True
        except OSError as error:
            if self._is_writable:
                path = state_path(self._data_dir)
                self._tell(f"cannot write {path}: {error.strerror}; `chronos status` shows old facts until that works")
            self._is_writable = False
