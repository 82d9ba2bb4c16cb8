"""`chronos down`: ends the mesh of a data directory, from elsewhere."""

import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from cli.chronos import leftovers
from cli.chronos.errors import MeshError
from cli.chronos.processes import send
from cli.chronos.state import load
from libs.clock import Clock

PATIENCE = timedelta(seconds=90)
POLL = timedelta(milliseconds=50)


async def down(data_dir: Path, clock: Clock, tell: Callable[[str], None]) -> None:
    """Stops the mesh and returns when nothing of it runs. Nothing to stop is fine. Raises MeshError after 90 s."""
    state = load(data_dir)
    if state is None:
        tell(f"No mesh runs in {data_dir}.")
        return
    if not state.is_supervised:
        await leftovers.remove(data_dir, clock)
        tell(f"The mesh in {data_dir} had died; nothing of it is left.")
        return
    send(state.supervisor_pid, signal.SIGTERM)
    deadline = clock.monotonic() + PATIENCE.total_seconds()
    while state.is_supervised:
        if clock.monotonic() > deadline:
            pid = state.supervisor_pid
            raise MeshError(
                f"the mesh (process {pid}) did not stop within 90 s; `kill -9 {pid}` ends all of it at once"
            )
        await clock.sleep(POLL)
    await leftovers.remove(data_dir, clock)
    tell("Stopped.")
