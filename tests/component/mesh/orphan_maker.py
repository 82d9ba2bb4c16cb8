"""A supervisor with children that never end, to be killed: `orphan_maker.py LOG_DIR` prints the children's pids."""

import asyncio
import os
import sys
from pathlib import Path

from tests.component.mesh.tiny import IGNORES_TERM, Watched, spec
from tests.eventually import eventually


async def main() -> None:
    watched = Watched(log_dir=Path(sys.argv[1]))
    async with watched.supervisor(os.getpid()) as supervisor:
        for number in range(3):
            supervisor.start(spec(f"child-{number}", IGNORES_TERM))
        await eventually(lambda: all(watched.wrote(f"child-{number}", "up")() for number in range(3)))
        print(*(child.state.pid for child in supervisor.children.values()), flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
