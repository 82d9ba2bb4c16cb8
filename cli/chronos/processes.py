"""Processes of this machine, told apart from later ones that got the same pid."""

import os
import signal
import subprocess
from pathlib import Path


def start_mark(pid: int) -> str | None:
    """A text that no other process with this pid has; None when no such process runs (a zombie does not run)."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]  # state; start time in clock ticks since boot, proc(5)
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def is_running(pid: int | None, mark: str | None) -> bool:
    """Whether the very process that `start_mark` gave `mark` for still runs."""
    return pid is not None and mark is not None and start_mark(pid) == mark


def send(pid: int, number: signal.Signals) -> None:
    """Sends a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
