"""The demo from start to end."""

import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
from rich.console import Console

from cli.chronos.demo.api import Edge
from cli.chronos.demo.evidence import Summary
from cli.chronos.demo.show import Show
from cli.chronos.demo.view import View, summary_text
from cli.chronos.errors import FAILED, MISUSED, MeshError
from cli.chronos.first_key import check_given
from cli.chronos.mesh import Mesh, open_mesh
from cli.chronos.ports import DEFAULT_BASE, HOST, RECEIVER_OFFSET, address, busy_ports
from cli.chronos.settings import MeshSettings
from cli.chronos.state import Probe, ProbeKind, load
from cli.chronos.stopping import stopped_by_signals
from cli.chronos.topology import RECEIVER, MeshOptions, ProcessSpec, wanted_ports
from cli.chronos.waiting import first_of
from libs.clock import Clock, SystemClock

RECEIVER_SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "receiver.py"
REPLICAS = {"scheduler": 2, "dispatcher": 2}
BASES = range(DEFAULT_BASE, 60_000, 1_000)
OURS = {"logs", "etcd", "history", "admin.key", "mesh.token", "encryption.key", "mesh.lock", "mesh.json", "envoy.yaml"}
INTERRUPTED = 130


async def demo(data_dir: Path, *, seconds: int, keep: bool) -> int:
    """Runs the demo and returns its exit status: 0 when nothing was missed and nothing failed."""
    settings, clock, console = MeshSettings(), SystemClock(), Console(highlight=False, soft_wrap=True)
    check_given(settings.admin_key)
    empty(data_dir)
    options = free_options(data_dir)
    summary: list[Summary] = []

    def tell(line: str) -> None:
        console.print(line, markup=False)

    with stopped_by_signals() as stopping:
        async with open_mesh(options, settings, clock, tell, hurry=stopping.hurry) as mesh:

            async def live() -> None:
                summary.append(await showing(mesh, settings, clock, console, tell, timedelta(seconds=seconds)))
                if keep:
                    tell(f"The mesh goes on at {mesh.edge_url}, with its key in {data_dir}/admin.key. Ctrl-C stops it.")
                    await stopping.wanted.wait()

            await first_of(live(), stopping.wanted.wait())
    tell("Stopped; nothing is left running.")
    if not summary:
        return INTERRUPTED
    return 0 if summary[0].is_good else FAILED


async def showing(
    mesh: Mesh, settings: MeshSettings, clock: Clock, console: Console, tell: Callable[[str], None], length: timedelta
) -> Summary:
    """Starts the mesh, shows its jobs for `length`, and prints the figures."""
    tell("Starting etcd, 2 schedulers, 2 dispatchers, history, policy, gateway, Envoy, and a receiver for webhooks.")
    began = clock.monotonic()
    receiver = receiver_spec(mesh.options)
    key = await mesh.start([receiver])
    tell(f"All healthy after {clock.monotonic() - began:.1f} s. {mesh.edge_url} now gets the jobs:")
    headers = {"X-API-Key": key.fresh or settings.admin_key.get_secret_value()}
    receiver_url = f"http://{receiver.probe.address}"
    async with (
        httpx.AsyncClient(base_url=mesh.edge_url, headers=headers, trust_env=False, timeout=10) as edge,
        httpx.AsyncClient(base_url=receiver_url, trust_env=False, timeout=10) as eyes,
    ):
        with View(console) as view:
            summary = await Show(Edge(edge, clock), eyes, view, clock).run(length)
    tell(f"\n{summary_text(summary)}")
    return summary


def receiver_spec(options: MeshOptions) -> ProcessSpec:
    """The receiver of the demo's webhooks as a process of the mesh. Raises MeshError outside a clone."""
    if not RECEIVER_SCRIPT.exists():
        raise MeshError(f"{RECEIVER_SCRIPT} is missing; run the demo from a clone of the repository")
    port = options.port_base + RECEIVER_OFFSET
    return ProcessSpec(
        name=RECEIVER,
        replica=f"{RECEIVER}-0",
        command=(sys.executable, "-P", str(RECEIVER_SCRIPT), "--host", HOST, "--port", str(port)),
        ports={"http": port},
        probe=Probe(kind=ProbeKind.HTTP, address=address(port), path="/stats"),
    )


def free_options(data_dir: Path) -> MeshOptions:
    """A mesh on the first port base, from 8080 in steps of 1,000, above which all its ports are free."""
    for base in BASES:
        options = MeshOptions(data_dir=data_dir, port_base=base, replicas=REPLICAS)
        if not busy_ports([*wanted_ports(options), (RECEIVER, receiver_spec(options).ports)]):
            return options
    raise MeshError(f"no free ports for a mesh from {BASES.start} to {BASES.stop}")


def empty(data_dir: Path) -> None:
    """Removes what an earlier demo kept. Raises MeshError when one still runs there, or it is no demo's folder."""
    if not data_dir.exists():
        return
    state = load(data_dir)
    if state is not None and state.is_supervised:
        raise MeshError(f"a mesh runs in {data_dir}; stop it with `chronos down --data-dir {data_dir}`")
    if foreign := {path.name for path in data_dir.iterdir()} - OURS:
        message = f"{data_dir} holds {sorted(foreign)[0]}, which is not a mesh's; pass another --data-dir"
        raise MeshError(message, exit_code=MISUSED)
    shutil.rmtree(data_dir)
