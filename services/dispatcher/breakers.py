"""The circuit breakers of all hosts that do not just work."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.clock import Clock
from libs.log import get_logger
from services.dispatcher import metrics
from services.dispatcher.domain.breaker import Breaker, Pass, Rules, Sign, State, admit, learn
from services.dispatcher.domain.results import Failure, FailureKind

CHECK_INTERVAL = timedelta(seconds=30)
PROBE_PAUSE = timedelta(seconds=1)
LONGEST_ERROR = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """A breaker that is not closed, and when that began by the wall clock. `probe_at` is given while it is OPEN."""

    host: str
    breaker: Breaker
    since: datetime
    probe_at: datetime | None


class Breakers:
    """One breaker for each host and port. Those without failures take no memory.

    At most `limit` are kept, closed ones forgotten first. One that nobody asked for `memory` long is forgotten too.
    """

    def __init__(self, rules: Rules, clock: Clock, *, limit: int, memory: timedelta) -> None:
        self._rules = rules
        self._clock = clock
        self._limit = limit
        self._memory_seconds = memory.total_seconds()
        self._closed: OrderedDict[str, Breaker] = OrderedDict()
        self._tripped: OrderedDict[str, Tripped] = OrderedDict()
        self._log = get_logger()
        self.changed = asyncio.Event()
        """Set whenever what `tripped` gives has changed."""

    def __len__(self) -> int:
        return len(self._closed) + len(self._tripped)

    @property
    def tripped(self) -> list[Tripped]:
        """Those that are not closed."""
        return list(self._tripped.values())

    def admit(self, host: str) -> Pass | Failure:
        """How a request to a host may go out, to be followed by `learn`; or why it may not."""
        tripped = self._tripped.get(host)
        if tripped is None:
            return Pass.PLAIN
        now = self._clock.monotonic()
        breaker, how = admit(tripped.breaker, now=now)
        self._put(host, breaker)
        if how is not None:
            return how
        metrics.NOT_SENT.inc()
        return _refusal(tripped, now)

    def learn(self, host: str, how: Pass, sign: Sign, error: str) -> None:
        """A request that was admitted has ended."""
        if sign is not Sign.FAILURE and not self._tripped and not self._closed:
            return
        tripped = self._tripped.get(host)
        known = tripped.breaker if tripped is not None else self._closed.get(host)
        if (known is None and sign is not Sign.FAILURE) or not self._rules.failures:
            return
        now = self._clock.monotonic()
        known = known or Breaker(since=now)
        self._put(host, learn(known, how, sign, now=now, error=error[:LONGEST_ERROR], rules=self._rules))

    async def run(self) -> None:
        """Forgets what nobody asks for, until cancelled."""
        while True:
            await self._clock.sleep(CHECK_INTERVAL)
            self._forget_idle()

    def _put(self, host: str, breaker: Breaker) -> None:
        tripped = self._tripped.get(host)
        if breaker.state is not State.CLOSED:
            self._closed.pop(host, None)
            self._trip(host, breaker, tripped)
        elif breaker.failures:
            self._closed[host] = breaker
            self._closed.move_to_end(host)
        else:
            self._closed.pop(host, None)
        if breaker.state is State.CLOSED and tripped is not None:
            self._log.info("circuit closed", host=host)
            self._untrip(host)
        self._stay_bounded(newest=host)

    def _trip(self, host: str, breaker: Breaker, before: Tripped | None) -> None:
        if before is not None and (before.breaker.state, before.breaker.since) == (breaker.state, breaker.since):
            is_seen = before.breaker.successes != breaker.successes
            since, probe_at = before.since, before.probe_at
        else:
            is_seen = True
            since = self._clock.now()
            is_open = breaker.state is State.OPEN
            probe_at = since + timedelta(seconds=breaker.probe_at - breaker.since) if is_open else None
            if is_open:
                metrics.BREAKER_OPENED.inc()
                self._log.warning("circuit opened", host=host, failures=breaker.failures, error=breaker.last_error)
        self._tripped[host] = Tripped(host=host, breaker=breaker, since=since, probe_at=probe_at)
        self._tripped.move_to_end(host)
        if is_seen:
            self.changed.set()

    def _untrip(self, host: str) -> None:
        del self._tripped[host]
        self.changed.set()

    def _stay_bounded(self, newest: str) -> None:
        while len(self) > self._limit:
            oldest = next(iter(self._closed), newest)
            if oldest != newest:
                del self._closed[oldest]
            elif self._tripped:
                self._untrip(next(iter(self._tripped)))
            else:
                return

    def _forget_idle(self) -> None:
        horizon = self._clock.monotonic() - self._memory_seconds
        for tripped in self.tripped:
            breaker = tripped.breaker
            if not breaker.is_probing and max(breaker.probe_at, breaker.since) < horizon:
                self._untrip(tripped.host)


def _refusal(tripped: Tripped, now: float) -> Failure:
    breaker = tripped.breaker
    begin = f"not sent: the circuit of {tripped.host} is open after {breaker.failures} failures"
    if tripped.probe_at is None:
        error = f"{begin} (last: {breaker.last_error}); a probe is under way"
        return Failure(kind=FailureKind.BREAKER_OPEN, error=error, wait=PROBE_PAUSE)
    moment = tripped.probe_at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    error = f"{begin} (last: {breaker.last_error}); next probe at {moment}"
    return Failure(kind=FailureKind.BREAKER_OPEN, error=error, wait=timedelta(seconds=breaker.probe_at - now))
