"""A small HTTP receiver that shows what Chronos delivers: `python examples/receiver.py --port 9000`.

Answers every call with 200 and prints a line with its lateness, which is the moment it came in minus the scheduled
time in its headers. To see retries: `--fail-rate 0.1` answers every tenth call with 503, and a path that starts with
`/fail-first/2/` answers the first two attempts of each execution so. A path that starts with `/accept/` answers 202.
`GET /calls?after=0` lists the latest calls, `GET /stats` counts them; memory stays bounded however long it runs.
"""

import argparse
import random
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MOST_KEPT = 20_000
MOST_BODY = 512
PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that came in. Texts are empty and `late_seconds` is None where Chronos's headers were missing."""

    number: int
    received_at: str
    path: str
    job_id: str
    execution_id: str
    scheduled_time: str
    attempt: int
    late_seconds: float | None
    status_code: int
    body: str


class Calls:
    """The latest calls, and counts of all of them."""

    def __init__(self, fail_rate: float) -> None:
        self._fail_rate = fail_rate
        self._kept: deque[Call] = deque(maxlen=MOST_KEPT)
        self._count = 0
        self._refused = 0

    async def receive(self, request: Request) -> Response:
        """Takes any call, notes it, and answers 200 or, when it should fail, 503."""
        now = datetime.now(UTC)
        attempt = _number(request.headers.get("x-chronos-attempt", ""), 1)
        usual = 202 if request.url.path.startswith("/accept/") else 200
        status = 503 if self._should_fail(request.url.path, attempt) else usual
        scheduled = request.headers.get("x-chronos-scheduled-time", "")
        self._count += 1
        self._refused += status == 503
        call = Call(
            number=self._count,
            received_at=now.isoformat(timespec="milliseconds"),
            path=request.url.path,
            job_id=request.headers.get("x-chronos-job-id", ""),
            execution_id=request.headers.get("x-chronos-execution-id", ""),
            scheduled_time=scheduled,
            attempt=attempt,
            late_seconds=_seconds_since(scheduled, now),
            status_code=status,
            body=(await _start_of_body(request)).decode(errors="replace"),
        )
        self._kept.append(call)
        print(line_of(call), flush=True)
        return JSONResponse({"received": call.number}, status_code=status)

    async def calls(self, request: Request) -> Response:
        """At most 1,000 calls with numbers above `after`, oldest first."""
        after = _number(request.query_params.get("after", ""), 0)
        page = [asdict(call) for call in self._kept if call.number > after][:PAGE]
        return JSONResponse({"calls": page})

    async def stats(self, _: Request) -> Response:
        """How many calls came in, and how many were answered with 503."""
        return JSONResponse({"received": self._count, "refused": self._refused})

    def _should_fail(self, path: str, attempt: int) -> bool:
        parts = path.split("/")
        if len(parts) > 2 and parts[1] == "fail-first" and parts[2].isdecimal():
            return attempt <= int(parts[2])
        return random.random() < self._fail_rate


async def _start_of_body(request: Request) -> bytes:
    start = b""
    async for chunk in request.stream():  # to its end, so that the connection can be used again
        start += chunk[: MOST_BODY - len(start)]
    return start


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default


def _seconds_since(text: str, now: datetime) -> float | None:
    try:
        return (now - datetime.fromisoformat(text)).total_seconds()
    except (ValueError, TypeError):  # not a time, or one without a zone
        return None


def line_of(call: Call) -> str:
    """A call in one line for people."""
    late = f"{call.late_seconds * 1000:+9.1f} ms" if call.late_seconds is not None else "          - "
    return f"{call.received_at}  {late}  {call.status_code}  attempt {call.attempt}  {call.job_id or call.path}"


def build(fail_rate: float) -> Starlette:
    """The receiver as an ASGI application."""
    calls = Calls(fail_rate)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Route("/calls", calls.calls, methods=["GET"]),
            Route("/stats", calls.stats, methods=["GET"]),
            Route("/{path:path}", calls.receive, methods=methods),
        ]
    )


def main() -> None:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A small HTTP receiver that shows what Chronos delivers.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--fail-rate", type=float, default=0.0, help="share of calls to answer with 503, 0 to 1")
    arguments = parser.parse_args()
    print(f"receiving on http://{arguments.host}:{arguments.port}", flush=True)
    uvicorn.run(build(arguments.fail_rate), host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
