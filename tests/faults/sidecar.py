"""A process beside the mesh that obeys orders: one JSON object a line on its stdin, one as the answer on its stdout."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
ANSWER_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class Sidecar:
    """Runs `python -m MODULE ARGUMENT…` for as long as its `async with` block lasts. Its errors go to `log`."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        self._command = (sys.executable, "-m", module, *arguments)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for the suite alone
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        process = self._running()
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Gives an order and waits for the answer. Raises RuntimeError when the process has ended."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        async with self._turn, asyncio.timeout(ANSWER_TIMEOUT_S):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._command[2]} ended; see {self._log}")
        return dict(json.loads(line))

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "used outside of its `async with` block"
        return self._process


async def obey_stdin(obey: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Takes orders from stdin, one after the other, until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        answer = await obey(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
