"""The orderly end: finish what is under way, hand back the rest, forget nothing."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from libs.clock import Clock
from libs.log import get_logger
from services.dispatcher.deliveries import Deliveries, Held
from services.dispatcher.domain.execution import end_attempt
from services.dispatcher.domain.outcome import Failure, FailureKind, judge
from services.dispatcher.recorder import Recorder
from services.dispatcher.retries import Retries
from services.dispatcher.streams import Streams

POLL = timedelta(milliseconds=10)
INTERRUPTED = Failure(kind=FailureKind.INTERRUPTED, error="the dispatcher shut down before the answer came")


class Draining:
    """What a dispatcher does between the wish to stop and its end, within `timeout` in all."""

    def __init__(
        self,
        deliveries: Deliveries,
        retries: Retries,
        recorder: Recorder,
        streams: Streams,
        clock: Clock,
        *,
        timeout: timedelta,
    ) -> None:
        self._deliveries = deliveries
        self._retries = retries
        self._recorder = recorder
        self._streams = streams
        self._clock = clock
        self._seconds = timeout.total_seconds()
        self._log = get_logger()

    async def run(self) -> None:
        """Hands back at once what has not been sent; then waits for answers, as long as most of the time lasts."""
        begin = self._clock.monotonic()
        self._streams.say_draining()
        self._give_back(self._deliveries.stop_accepting())
        self._give_back(self._retries.take_all())
        await self._until(lambda: not self._deliveries.in_flight, begin + self._seconds * 0.7)
        for held in self._deliveries.in_flight:
            self._interrupt(held)
        await self._until(lambda: self._recorder.backlog == 0, begin + self._seconds * 0.85)
        self._give_back(self._retries.take_all())
        await self._until(lambda: self._streams.are_empty, begin + self._seconds * 0.95)
        self._log.info("drained", records_not_durable=self._recorder.backlog)
        self._streams.close_all()

    def _give_back(self, all_held: Iterable[Held]) -> None:
        for held in all_held:
            self._deliveries.give_back(held)

    def _interrupt(self, held: Held) -> None:
        spent = self._clock.now() - (held.progress.begun_at or self._clock.now())
        verdict = judge(INTERRUPTED, held.delivery.plan.success_codes)
        held.progress = end_attempt(held.progress, verdict, duration=spent, wait=timedelta(0))
        self._recorder.put(held)
        self._deliveries.give_back(held)

    async def _until(self, is_reached: Callable[[], bool], deadline: float) -> None:
        while not is_reached() and self._clock.monotonic() < deadline:
            await self._clock.sleep(POLL)
