"""The policy that the suite lets judge runs: those of some jobs may not begin in some seconds of each minute."""

from typing import Any

import httpx

FROZEN_S = (40, 48)
"""From which second of a minute to before which one."""
TAGS = {"freeze": "minutely"}
"""Of the jobs that it applies to."""


def policy() -> dict[str, Any]:
    """The body of the call that creates it. Its rule looks at the clock, so each run is asked about."""
    begin, end = FROZEN_S
    seconds = "timestamp(now.time).getSeconds()"
    rule = {
        "id": "seconds",
        "name": "Outside the frozen seconds",
        "condition": {"expression": f"{seconds} < {begin} || {seconds} >= {end}"},
    }
    return {
        "id": "minutely-freeze",
        "name": "Minutely freeze",
        "type": "EXECUTION",
        "operations": ["RUN"],
        "tags": TAGS,
        "rules": [rule],
    }


async def create_freeze(api: httpx.AsyncClient) -> None:
    """Creates the policy. Call it while nothing is broken; raises httpx.HTTPError when it is refused."""
    (await api.post("/api/v1/policies", json=policy())).raise_for_status()
