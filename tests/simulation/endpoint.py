"""The customer's endpoint, and the dispatcher's way to it: the evidence is taken here."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from libs.clock import Clock
from services.dispatcher.adapters.senders import Send
from services.dispatcher.app import OpenSenders
from services.dispatcher.domain.results import Answer, Failure, FailureKind
from services.dispatcher.domain.targets.plan import Request
from services.dispatcher.domain.targets.webhook import HttpRequest
from services.dispatcher.ports import Sender
from services.dispatcher.settings import DispatcherSettings
from tests.faults.checks.evidence import ACCEPTED
from tests.faults.history import Arrival
from tests.simulation.clock import EPOCH, MICROSECOND, TrueTime
from tests.simulation.replies import Messages

ENDPOINT = "endpoint"
HANG_SECONDS = 3_600.0


class Mood(StrEnum):
    """How the endpoint treats requests."""

    WELL = "well"
    FAILING = "failing"
    HANGING = "hanging"
    SLOW = "slow"


class End(StrEnum):
    """How work ends that was accepted."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    NEVER = "NEVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How requests to one path are answered: after how long, and how many of the first attempts of a run fail."""

    seconds: float = 0.01
    failures: int = 0
    """999: all."""
    completes_after: float | None = None
    """Requests are accepted with 202, and the work is done so many seconds after they came; None: 200 ends a run."""
    end: End = End.SUCCESS
    """How accepted work ends."""


@dataclass(slots=True)
class Endpoint:
    """Answers requests and logs every one that it sees."""

    time: TrueTime
    dice: random.Random
    mood: Mood = Mood.WELL
    manners: dict[str, Manner] = field(default_factory=dict)
    """By path, which is the id of the job."""
    arrivals: list[Arrival] = field(default_factory=list)
    complete: Callable[[str, str, End], None] = lambda job, execution_id, end: None
    """Told of the end of accepted work."""

    def begin(self, request: HttpRequest) -> tuple[int, float, int]:
        """Logs a request; gives its place in the log, how long the answer takes, and the status."""
        headers = request.headers
        manner = self.manners.get(urlsplit(request.url).path.strip("/"), Manner())
        attempt = int(headers["X-Chronos-Attempt"])
        good = 200 if manner.completes_after is None else ACCEPTED
        status = 500 if self.mood is Mood.FAILING or attempt <= manner.failures else good
        seconds = manner.seconds * self.dice.uniform(0.5, 1.5)
        if self.mood is Mood.SLOW:
            seconds += self.dice.uniform(0.5, 5.0)
        if self.mood is Mood.HANGING:
            seconds = HANG_SECONDS
        scheduled = datetime.fromisoformat(headers["X-Chronos-Scheduled-Time"].replace("Z", "+00:00"))
        self.arrivals.append(
            Arrival(
                began_us=self.time.now_us(),
                ended_us=None,
                job=f"default/{headers['X-Chronos-Job-ID']}",
                execution_id=headers["X-Chronos-Execution-ID"],
                scheduled_us=(scheduled - EPOCH) // MICROSECOND,
                attempt=attempt,
                status=0,
            )
        )
        place = len(self.arrivals) - 1
        if status == ACCEPTED and manner.completes_after is not None and manner.end is not End.NEVER:
            asyncio.get_running_loop().call_later(manner.completes_after, self._finish, place, manner.end)
        return place, seconds, status

    def end(self, place: int, status: int) -> None:
        """Logs the answer to a request."""
        self.arrivals[place] = replace(self.arrivals[place], ended_us=self.time.now_us(), status=status)

    def close_early(self, place: int) -> None:
        """Logs that the other side did not wait for the answer."""
        if self.arrivals[place].ended_us is None:
            self.arrivals[place] = replace(self.arrivals[place], ended_us=self.time.now_us(), is_early_close=True)

    def _finish(self, place: int, end: End) -> None:
        """The work of a request is done, unless the other side gave it up before."""
        arrival = self.arrivals[place]
        if not arrival.is_early_close:
            self.complete(arrival.job, arrival.execution_id, end)


class SimSender:
    """See services.dispatcher.ports.Sender."""

    def __init__(self, endpoint: Endpoint, network: Messages, node: str) -> None:
        self._endpoint = endpoint
        self._network = network
        self._node = node

    async def send(self, request: Request) -> Answer | Failure:
        """See Sender."""
        assert isinstance(request, HttpRequest)
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        place: list[int] = []

        def hear() -> None:
            number, seconds, status = self._endpoint.begin(request)
            place.append(number)
            asyncio.get_running_loop().call_later(seconds, answer, number, status)

        def answer(number: int, status: int) -> None:
            if self._endpoint.arrivals[number].is_early_close:
                return
            self._endpoint.end(number, status)
            self._network.send(ENDPOINT, self._node, lambda: None if reply.done() else reply.set_result(status))

        self._network.send(self._node, ENDPOINT, hear)
        try:
            async with asyncio.timeout(request.timeout.total_seconds()):
                return Answer(status_code=await reply)
        except TimeoutError:
            for number in place:
                self._network.send(self._node, ENDPOINT, lambda number=number: self._endpoint.close_early(number))  # type: ignore[misc]
            return Failure(kind=FailureKind.TIMEOUT, error="no answer in time")


def senders(endpoint: Endpoint, network: Messages, node: str) -> OpenSenders:
    """What a dispatcher makes its requests with."""

    @asynccontextmanager
    async def open_sender(
        settings: DispatcherSettings, clock: Clock, others: Mapping[type[Request], Send]
    ) -> AsyncIterator[Sender]:
        yield SimSender(endpoint, network, node)

    return open_sender
