"""All proxies of a mesh in one process: `python -m tests.faults.proxies STATE_FILE`. Told what to do on stdin.

One JSON object a line, and one as the answer: `{"listen": {"scheduler-0/grpc": "127.0.0.1:8180"}}` gives the address of
a proxy for each name; what stands before the slash is the node. `{"rules": […]}` replaces the rules in force.
`{"stats": true}` gives counts. Ends when stdin does.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.faults.dialers import Dialers
from tests.faults.links import Rules, rule_of
from tests.faults.proxy import Proxy, Traffic
from tests.faults.sidecar import obey_stdin


async def serve(state_file: Path) -> None:
    """Runs until stdin ends."""
    traffic = Traffic(dialers=Dialers(state_file))

    async def listen(wanted: dict[str, str]) -> dict[str, str]:
        found = {}
        for name, address in wanted.items():
            host, _, port = address.rpartition(":")
            proxy = Proxy(traffic, name, host, int(port), tasks)
            await proxy.start()
            found[name] = f"127.0.0.1:{proxy.listens_on}"
        return found

    async def obey(order: dict[str, Any]) -> dict[str, Any]:
        match order:
            case {"listen": wanted}:
                return await listen(wanted)
            case {"rules": rules}:
                traffic.obey(Rules(map(rule_of, rules)))
                return {}
            case _:
                return {
                    "accepted": traffic.accepted,
                    "strangers": traffic.strangers,
                    "open": len(traffic.connections),
                    "passed_bytes": traffic.passed_bytes,
                    "pairs": len({(one.source, one.target) for one in traffic.connections}),
                }

    async with asyncio.TaskGroup() as tasks:
        await obey_stdin(obey)
        raise SystemExit(0)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(Path(sys.argv[1])))
