"""What an earlier mesh in the same data directory left behind."""

import json
import signal
from datetime import timedelta
from pathlib import Path

from cli.chronos.errors import MISUSED, MeshError
from cli.chronos.processes import is_running, send
from cli.chronos.state import load, state_path, write_whole
from cli.chronos.topology import MeshOptions
from libs.clock import Clock

PATIENCE = timedelta(seconds=10)
POLL = timedelta(milliseconds=20)


async def remove(data_dir: Path, clock: Clock) -> None:
    """Ends the processes of a supervisor that died without ending them, and forgets its state."""
    state = load(data_dir)
    if state is None:
        return
    left = [process for process in state.processes if is_running(process.pid, process.mark)]
    for process in left:
        if process.pid is not None:
            send(process.pid, signal.SIGKILL)
    deadline = clock.monotonic() + PATIENCE.total_seconds()
    while left := [process for process in left if is_running(process.pid, process.mark)]:
        if clock.monotonic() > deadline:
            names = ", ".join(f"{process.replica} (process {process.pid})" for process in left)
            raise MeshError(f"an earlier mesh in {data_dir} left processes that do not end: {names}")
        await clock.sleep(POLL)
    state_path(data_dir).unlink(missing_ok=True)


def check_etcd_layout(options: MeshOptions) -> None:
    """Raises MeshError when the data was written by another number of etcd members, or by members on other ports.

    A single member may move to other ports; several know each other by their ports.
    """
    path = options.data_dir / "etcd" / "layout.json"
    wanted = {"members": options.etcd_members, "port_base": options.port_base}
    if path.exists():
        found = json.loads(path.read_text())
        advice = "or choose another --data-dir"
        if found["members"] != wanted["members"]:
            message = (
                f"{options.data_dir} holds {found['members']} etcd member(s); pass --etcd {found['members']}, {advice}"
            )
            raise MeshError(message, exit_code=MISUSED)
        if found["members"] > 1 and found["port_base"] != wanted["port_base"]:
            message = f"the etcd members in {options.data_dir} use --port-base {found['port_base']}; pass it, {advice}"
            raise MeshError(message, exit_code=MISUSED)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(wanted) + "\n")
