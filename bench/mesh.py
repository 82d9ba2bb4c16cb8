"""A mesh of the benchmark's own."""

import asyncio
import json
import socket
import sys
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

CHRONOS = Path(sys.executable).parent / "chronos"


class BenchMesh:
    """Runs `chronos up` in the folder of the benchmark."""

    def __init__(self, folder: Path, replicas: str) -> None:
        self._data = folder / "mesh"
        self._log = folder / "mesh.log"
        self._port = _free_base()
        self._replicas = replicas
        self._process: asyncio.subprocess.Process | None = None

    @property
    def edge(self) -> str:
        """`host:port` of the edge."""
        return f"127.0.0.1:{self._port}"

    @property
    def key(self) -> str:
        """An API key that may do everything."""
        return (self._data / "admin.key").read_text().strip()

    def pids(self) -> dict[str, list[int]]:
        """The processes, by service."""
        found: dict[str, list[int]] = defaultdict(list)
        for process in json.loads((self._data / "mesh.json").read_text())["processes"]:
            found[process["replica"].rpartition("-")[0]].append(process["pid"])
        return dict(found)

    async def __aenter__(self) -> Self:
        arguments = ["up", "--data-dir", str(self._data), "--port-base", str(self._port)]
        if self._replicas:
            arguments += ["--replicas", self._replicas]
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(str(CHRONOS), *arguments, stdout=log, stderr=log)
        for _ in range(600):
            if self._process.returncode is not None:
                break
            if b"Chronos is up" in self._log.read_bytes():
                return self
            await asyncio.sleep(0.1)
        raise SystemExit(f"the mesh did not start:\n{self._log.read_text()}")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


def _free_base() -> int:
    """A port with free ones above it; the mesh says so if one is taken after all."""
    for base in range(20_000, 40_000, 1_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", base)) != 0:
                return base
    raise SystemExit("no free ports found")
