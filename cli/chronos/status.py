"""`chronos status`: every process of a mesh, and how it is right now."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.chronos.health import Health, check
from cli.chronos.processes import is_running
from cli.chronos.state import MeshState, Phase, ProcessState, load_running


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A mesh, and the health of each of its processes in the same order."""

    state: MeshState
    healths: tuple[Health, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether the mesh is up and every process of it is healthy."""
        return self.state.phase is Phase.RUNNING and all(health.is_healthy for health in self.healths)


async def look(data_dir: Path) -> Status:
    """Asks every process of the mesh at once. Raises MeshError when no mesh runs."""
    state = load_running(data_dir)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_health(process)) for process in state.processes]
    return Status(state=state, healths=tuple(task.result() for task in asked))


async def _health(process: ProcessState) -> Health:
    if not is_running(process.pid, process.mark):
        return Health(is_healthy=False, detail="not running")
    return await check(process.probe)


def as_json(status: Status, data_dir: Path) -> str:
    """The status for programs."""
    state = status.state
    document: dict[str, Any] = {
        "phase": state.phase,
        "is_healthy": status.is_healthy,
        "edge": state.edge_url,
        "data_dir": str(data_dir),
        "etcd_endpoints": state.etcd_endpoints,
        "supervisor": {"pid": state.supervisor_pid, "started_at": state.started_at},
        "processes": [
            {
                "name": process.name,
                "replica": process.replica,
                "pid": process.pid,
                "ports": process.ports,
                "health": "healthy" if health.is_healthy else "unhealthy",
                "detail": health.detail,
                "restarts": process.restarts,
                "started_at": process.started_at,
            }
            for process, health in zip(state.processes, status.healths, strict=True)
        ],
    }
    return json.dumps(document, indent=2)


def as_table(status: Status) -> str:
    """The status for people."""
    rows = [("NAME", "REPLICA", "PID", "PORTS", "HEALTH", "RESTARTS")]
    for process, health in zip(status.state.processes, status.healths, strict=True):
        ports = " ".join(f"{use}:{port}" for use, port in process.ports.items())
        verdict = "healthy" if health.is_healthy else f"UNHEALTHY ({health.detail})"
        rows.append((process.name, process.replica, str(process.pid or "-"), ports, verdict, str(process.restarts)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    state = status.state
    return "\n".join([f"{state.edge_url}  {state.phase}, supervised by process {state.supervisor_pid}", *lines])
