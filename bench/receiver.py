"""What the webhooks call: nginx, which notes every call in a log; or a small server of our own."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

CONFIG = """
worker_processes 1;
daemon off;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  log_format call '$msec $http_x_chronos_execution_id $http_x_chronos_scheduled_time $http_x_chronos_attempt';
  access_log {folder}/access.log call buffer=256k flush=1s;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "ok"; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call that arrived. Times are Unix seconds; `at` has a resolution of 1 ms."""

    execution_id: str
    scheduled: float
    at: float


class Receiver(Protocol):
    """Something that can be called and remembers it."""

    name: str
    url: str

    def pids(self) -> list[int]:
        """Its processes."""

    def arrivals(self) -> list[Arrival]:
        """All calls so far."""


@dataclass
class LogReceiver:
    """A receiver that is a process and writes a line a call."""

    name: str
    url: str
    process: asyncio.subprocess.Process
    log: Path

    def pids(self) -> list[int]:
        """The process and its children."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def arrivals(self) -> list[Arrival]:
        """What the log tells."""
        found = []
        for line in self.log.read_text().splitlines():
            parts = line.split()
            if len(parts) == 4 and parts[1] != "-":
                found.append(Arrival(parts[1], datetime.fromisoformat(parts[2]).timestamp(), float(parts[0])))
        return found


@asynccontextmanager
async def open_receiver(folder: Path, kind: str) -> AsyncIterator[Receiver]:
    """The receiver: nginx where it is installed, else our own."""
    port = _free_port()
    log = folder / "access.log"
    nginx = shutil.which("nginx", path=f"{os.defpath}:/usr/sbin")
    if kind == "nginx" and nginx is None:
        raise SystemExit("nginx is not installed; install it, or use --receiver builtin")
    if nginx is not None and kind != "builtin":
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=port))
        command, name = [nginx, "-c", str(config), "-p", str(folder)], "nginx"
    else:
        command, name = [sys.executable, "-m", "bench.builtin", str(port), str(log)], "builtin receiver"
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        await _wait_for(port)
        yield LogReceiver(name, f"http://127.0.0.1:{port}/hook", process, log)
    finally:
        process.terminate()
        await process.wait()


async def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise SystemExit("the receiver did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
