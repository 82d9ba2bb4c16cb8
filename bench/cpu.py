"""CPU time of processes, from /proc."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class CpuClock:
    """Measures the CPU time of named groups of processes from its creation on."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self._pids = pids
        self._began = time.monotonic()
        self._before = self._seconds()

    def elapsed(self) -> dict[str, float]:
        """CPU in percent of one core, by name, since the creation."""
        span = time.monotonic() - self._began
        after = self._seconds()
        return {name: 100 * (after[name] - self._before[name]) / span for name in self._pids}

    def _seconds(self) -> dict[str, float]:
        return {name: sum(_seconds_of(pid) for pid in pids) for name, pids in self._pids.items()}


def _seconds_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS
