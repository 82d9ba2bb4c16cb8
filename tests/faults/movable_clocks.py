"""Wall clocks of single services that can be moved, by a small library that is loaded into them. Needs a C compiler."""

import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).with_name("clock_shim.c")
CLOCKS = "clocks"


def make_movable_clocks(folder: Path, replicas: Iterable[str]) -> tuple[dict[str, str], str]:
    """The environment that services must be started with, and what kept it from working: one of the two is empty."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return {}, "no movable clocks: there is no C compiler"
    clocks = folder / CLOCKS
    clocks.mkdir(parents=True, exist_ok=True)
    library = folder / "clock_shim.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {}, f"no movable clocks: {done.stderr.strip()[-300:]}"
    for replica in replicas:
        (clocks / replica).write_bytes(struct.pack("q", 0))
    return {"LD_PRELOAD": str(library), "FAULT_CLOCKS": str(clocks)}, ""


def move_clock(folder: Path, replica: str, offset_us: int) -> None:
    """Sets how far the clock of a replica is from the true one."""
    with (folder / CLOCKS / replica).open("r+b", buffering=0) as file:
        file.write(struct.pack("q", offset_us))
