"""One local mesh, from its first process to its last."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from cli.chronos import edge, leftovers, topology
from cli.chronos.child_log import last_lines, log_path
from cli.chronos.cluster import prepare
from cli.chronos.encryption_key import encryption_keys
from cli.chronos.errors import MeshError
from cli.chronos.etcd_binary import find
from cli.chronos.first_key import FirstKey
from cli.chronos.health import Health, check, http_health
from cli.chronos.journal import Journal
from cli.chronos.mesh_token import mesh_token
from cli.chronos.ports import ETCD, check_free
from cli.chronos.processes import start_mark
from cli.chronos.settings import MeshSettings, environment_of_children
from cli.chronos.state import MeshState, Phase, claimed
from cli.chronos.supervisor import Child, Supervisor, Surroundings
from cli.chronos.topology import MeshOptions, ProcessSpec
from libs.clock import Clock

START_PATIENCE = timedelta(seconds=60)
STOP_PATIENCE = timedelta(seconds=25)
"""Longer than the 20 s that services take at most to drain."""
POLL = timedelta(milliseconds=50)
MOST_EARLY_DEATHS = 3
BAD_SETTINGS = "exit code 2"


class Mesh:
    """The processes of a mesh. Made by `open_mesh`."""

    def __init__(
        self,
        options: MeshOptions,
        settings: MeshSettings,
        *,
        supervisor: Supervisor,
        journal: Journal,
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self.options = options
        self.supervisor = supervisor
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._tell = tell

    async def start(self, extras: Sequence[ProcessSpec] = ()) -> FirstKey:
        """Starts everything and returns once the edge answers. Raises MeshError when something does not come up."""
        token = mesh_token(self.options.data_dir, self._settings.mesh_token.get_secret_value())
        etcd = self._etcd_specs()
        keys = encryption_keys(self.options, self._settings.encryption_keys.get_secret_value())
        services = topology.service_specs(self.options, python=sys.executable, mesh_token=token, encryption_keys=keys)
        envoy = edge.spec(self.options)
        specs = [*etcd, *services, *extras]
        check_free([*topology.wanted_ports(self.options), *((spec.replica, spec.ports) for spec in extras)])
        children = [self.supervisor.start(spec) for spec in specs]
        for child in children:
            if child.spec.name == ETCD:
                await self._comes_up(child)
        first_key = await prepare(self.options, self._settings, self._clock, self._tell)
        edge.write_config(self.options)
        for child in children:
            await self._comes_up(child)
        await self._comes_up(self.supervisor.start(envoy))
        await self._edge_answers()
        self._journal.enter(Phase.RUNNING)
        return first_key

    async def stop(self) -> None:
        """Ends everything: the edge first, etcd last."""
        self._journal.enter(Phase.STOPPING)
        # An etcd leader whose peers end together with it waits for seconds for one of them to follow it.
        await self.supervisor.stop(topology.STOP_ORDER, patience=STOP_PATIENCE, one_by_one=(ETCD,))
        self._journal.forget()

    @property
    def edge_url(self) -> str:
        """Where callers reach the mesh."""
        return edge.url(self.options)

    def _etcd_specs(self) -> list[ProcessSpec]:
        if self.options.etcd_endpoints:
            return []
        leftovers.check_etcd_layout(self.options)
        binary = find(self._settings.search_path)
        if binary.warning:
            self._tell(binary.warning)
        return topology.etcd_specs(self.options, binary)

    async def _comes_up(self, child: Child) -> None:
        deadline = self._clock.monotonic() + START_PATIENCE.total_seconds()
        while not (health := await check(child.spec.probe)).is_healthy:
            is_hopeless = child.last_end == BAD_SETTINGS or child.restarts >= MOST_EARLY_DEATHS
            if is_hopeless or self._clock.monotonic() > deadline:
                raise MeshError(self._why_not_up(child, health))
            await self._clock.sleep(POLL)

    async def _edge_answers(self) -> None:
        deadline = self._clock.monotonic() + START_PATIENCE.total_seconds()
        while not (health := await http_health(f"{self.edge_url}/health")).is_healthy:
            if self._clock.monotonic() > deadline:
                raise MeshError(f"{self.edge_url}/health: {health.detail}; see `chronos logs gateway`")
            await self._clock.sleep(POLL)

    def _why_not_up(self, child: Child, health: Health) -> str:
        path = log_path(self.options.data_dir / "logs", child.spec.replica)
        reason = f"ended ({child.last_end})" if child.last_end else health.detail
        lines = "".join(f"\n  {line[:300]}" for line in last_lines(path, 5))
        return f"{child.spec.replica} does not come up: {reason}. The last lines of {path}:{lines}"


@asynccontextmanager
async def open_mesh(
    options: MeshOptions, settings: MeshSettings, clock: Clock, tell: Callable[[str], None], *, hurry: asyncio.Event
) -> AsyncIterator[Mesh]:
    """A mesh that is ready to start. Afterwards nothing of it runs, whatever happened.

    Once `hurry` is set, stopping does not wait for anything any more. Raises MeshError when the options make no sense
    or another mesh holds the data directory.
    """
    topology.check(options)
    log_dir = options.data_dir / "logs"
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MeshError(f"--data-dir {options.data_dir}: {error.strerror}") from error
    with claimed(options.data_dir):
        await leftovers.remove(options.data_dir, clock)
        journal = Journal(options.data_dir, _first_state(options, clock), tell)
        surroundings = Surroundings(
            log_dir=log_dir,
            environment=environment_of_children(),
            pid=os.getpid(),
            clock=clock,
            on_change=journal.note,
            tell=tell,
            hurry=hurry,
        )
        journal.enter(Phase.STARTING)
        async with Supervisor(surroundings) as supervisor:
            mesh = Mesh(options, settings, supervisor=supervisor, journal=journal, clock=clock, tell=tell)
            try:
                yield mesh
            finally:
                await mesh.stop()


def _first_state(options: MeshOptions, clock: Clock) -> MeshState:
    return MeshState(
        phase=Phase.STARTING,
        supervisor_pid=os.getpid(),
        supervisor_mark=start_mark(os.getpid()),
        started_at=clock.now().isoformat(timespec="milliseconds"),
        port_base=options.port_base,
        edge_url=edge.url(options),
        etcd_endpoints=topology.etcd_endpoints(options),
    )
