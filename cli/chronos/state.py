"""What a running mesh writes down for `status`, `down`, `logs` and the fault tests: `<data-dir>/mesh.json`."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from cli.chronos.errors import NO_MESH, MeshError
from cli.chronos.processes import is_running

FORMAT = 1


class Phase(StrEnum):
    """Where a mesh is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class ProbeKind(StrEnum):
    """How to ask a process for its health."""

    GRPC = "grpc"
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A health check: gRPC health at `address`, or a GET of `path` that must answer 200."""

    kind: ProbeKind
    address: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """One process. `pid` and `mark` are None while it waits to be started again."""

    name: str
    replica: str
    pid: int | None
    mark: str | None
    ports: Mapping[str, int]
    restarts: int
    started_at: str | None
    probe: Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshState:
    """A mesh and its processes. Moments are RFC 3339 in UTC."""

    phase: Phase
    supervisor_pid: int
    supervisor_mark: str | None
    started_at: str
    port_base: int
    edge_url: str
    etcd_endpoints: tuple[str, ...]
    processes: tuple[ProcessState, ...] = field(default=())
    format: int = FORMAT

    @property
    def is_supervised(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        return is_running(self.supervisor_pid, self.supervisor_mark)


def state_path(data_dir: Path) -> Path:
    """Where the state of the mesh in `data_dir` is written."""
    return data_dir / "mesh.json"


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replaces a file in one step: a reader sees the old text or the new one. `mode` holds from the first byte."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    draft.replace(path)


def save(data_dir: Path, state: MeshState) -> None:
    """Writes the state down."""
    write_whole(state_path(data_dir), json.dumps(asdict(state), indent=1) + "\n")


def load(data_dir: Path) -> MeshState | None:
    """The state that was written last, None when there is none. Raises MeshError for a file that is not one."""
    path = state_path(data_dir)
    try:
        fields = json.loads(path.read_text())
        processes = tuple(_process(item) for item in fields.pop("processes"))
        fields["etcd_endpoints"] = tuple(fields["etcd_endpoints"])
        return MeshState(**{**fields, "phase": Phase(fields["phase"])}, processes=processes)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise MeshError(f"{path} is not the state of a mesh; remove it if no mesh runs there") from error


def load_running(data_dir: Path) -> MeshState:
    """The state of the mesh that runs in `data_dir`. Raises MeshError when none runs."""
    state = load(data_dir)
    if state is None or not state.is_supervised:
        raise MeshError(f"no mesh runs in {data_dir}; start one with `chronos up`", exit_code=NO_MESH)
    return state


@contextlib.contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Holds the data directory for one supervisor. The kernel lets go of it when the process ends, however it ends."""
    with (data_dir / "mesh.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            state = load(data_dir)
            who = f" (process {state.supervisor_pid}, {state.edge_url})" if state else ""
            message = f"a mesh already runs in {data_dir}{who}; stop it with `chronos down`, or pass another --data-dir"
            raise MeshError(message) from error
        yield


def _process(fields: dict[str, Any]) -> ProcessState:
    probe = fields.pop("probe")
    return ProcessState(**fields, probe=Probe(**{**probe, "kind": ProbeKind(probe["kind"])}))
