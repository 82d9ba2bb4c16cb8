"""`chronos logs`: what the replicas of a service write."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

from cli.chronos.child_log import last_lines
from cli.chronos.errors import MISUSED, MeshError
from libs.clock import Clock

POLL = timedelta(milliseconds=200)


def logs_of(data_dir: Path, service: str) -> dict[str, Path]:
    """The logs of a service, or of one replica, by replica. Raises MeshError when there are none."""
    found = {path.stem: path for path in sorted((data_dir / "logs").glob("*.log"))}
    chosen = {replica: path for replica, path in found.items() if service in (replica, replica.rpartition("-")[0])}
    if not chosen:
        known = ", ".join(sorted({replica.rpartition("-")[0] for replica in found}))
        where = f"there are {known}" if known else f"there are no logs in {data_dir}"
        raise MeshError(f"no logs of {service}; {where}", exit_code=MISUSED)
    return chosen


def tail(logs: dict[str, Path], count: int) -> Iterator[str]:
    """The last lines of each log; with several logs, each line after its replica's name."""
    for replica, path in logs.items():
        for line in last_lines(path, count):
            yield _labelled(replica, line, logs)


async def follow(logs: dict[str, Path], clock: Clock) -> AsyncIterator[str]:
    """Every line that is added from now on, for ever; also after a log was moved away and begun anew."""
    places = {replica: (path.stat().st_ino, path.stat().st_size) for replica, path in logs.items()}
    while True:
        for replica, path in logs.items():
            lines, places[replica] = _added(path, places[replica])
            for line in lines:
                yield _labelled(replica, line, logs)
        await clock.sleep(POLL)


def _added(path: Path, place: tuple[int, int]) -> tuple[list[str], tuple[int, int]]:
    """The whole lines after a place (inode, offset), and the place after them."""
    inode, offset = place
    if not path.exists():
        return [], place
    found = path.stat()
    if found.st_ino != inode or found.st_size < offset:
        offset = 0
    with path.open("rb") as file:
        file.seek(offset)
        whole, newline, _ = file.read().rpartition(b"\n")
    lines = whole.decode(errors="replace").splitlines() if newline else []
    return lines, (found.st_ino, offset + len(whole) + len(newline))


def _labelled(replica: str, line: str, logs: dict[str, Path]) -> str:
    return line if len(logs) == 1 else f"{replica}  {line}"
