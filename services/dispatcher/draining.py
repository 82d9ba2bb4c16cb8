"""The orderly end: finish what is under way, hand back the rest, forget nothing."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from libs.clock import Clock
from libs.log import get_logger
from services.dispatcher.claims import Claims
from services.dispatcher.deliveries import Deliveries
from services.dispatcher.domain.execution import Ending, Reason, Status, end_attempt
from services.dispatcher.domain.outcome import judge_failure
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.endings import Endings
from services.dispatcher.held import Held, Stage
from services.dispatcher.recorder import Recorder
from services.dispatcher.retries import Retries
from services.dispatcher.streams import Streams
from services.dispatcher.throttles import Throttles

POLL = timedelta(milliseconds=10)
INTERRUPTED = Failure(kind=FailureKind.INTERRUPTED, error="the dispatcher shut down before the answer came")
LOST = Ending(reason=f"{INTERRUPTED.error}; at most once: it is not sent again", code=Reason.INTERRUPTED)
NOT_SENT = Ending(
    reason="not sent: the dispatcher shut down; at most once: no other one may send what this one has claimed",
    code=Reason.INTERRUPTED,
)


class Draining:
    """What a dispatcher does between the wish to stop and its end, within `timeout` in all.

    What the ledger has promised to this dispatcher alone (AT_MOST_ONCE) cannot be handed back: it is sent in the time
    that is left, or it ends.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        claims: Claims,
        retries: Retries,
        throttles: Throttles,
        recorder: Recorder,
        endings: Endings,
        streams: Streams,
        clock: Clock,
        *,
        timeout: timedelta,
    ) -> None:
        self._deliveries = deliveries
        self._claims = claims
        self._retries = retries
        self._throttles = throttles
        self._recorder = recorder
        self._endings = endings
        self._streams = streams
        self._clock = clock
        self._seconds = timeout.total_seconds()
        self._log = get_logger()

    async def run(self) -> None:
        """Hands back at once what has not been sent; then waits for answers, as long as most of the time lasts."""
        begin = self._clock.monotonic()
        self._streams.say_draining()
        self._give_back(self._claims.take_all())
        self._settle_queued(self._deliveries.stop_accepting())
        self._settle_waiting()
        await self._until(lambda: not self._under_way(), begin + self._seconds * 0.7)
        for held in self._under_way():
            self._interrupt(held)
        self._end_claimed(self._deliveries.at(Stage.WAITING, Stage.THROTTLED))
        await self._until(lambda: self._recorder.backlog == 0, begin + self._seconds * 0.85)
        self._settle_waiting()
        await self._until(lambda: self._streams.are_empty, begin + self._seconds * 0.95)
        self._log.info("drained", records_not_durable=self._recorder.backlog)
        self._streams.close_all()

    def _under_way(self) -> list[Held]:
        return self._deliveries.at(Stage.SENDING, Stage.CLAIMING, Stage.QUEUED)

    def _settle_queued(self, queued: Iterable[Held]) -> None:
        for held in queued:
            if held.is_claimed:
                self._deliveries.requeue(held)
            else:
                self._deliveries.give_back(held)

    def _settle_waiting(self) -> None:
        waiting = [*self._retries.take_all(), *self._throttles.take_all()]
        self._end_claimed(waiting)
        self._give_back(held for held in waiting if held.stage in (Stage.WAITING, Stage.THROTTLED))

    def _end_claimed(self, all_held: Iterable[Held]) -> None:
        for held in all_held:
            if held.is_claimed:
                self._endings.end(held, Status.FAILED, NOT_SENT)

    def _give_back(self, all_held: Iterable[Held]) -> None:
        for held in all_held:
            self._deliveries.give_back(held)

    def _interrupt(self, held: Held) -> None:
        if held.stage is Stage.CLAIMING:
            return  # The ledger knows whose it is; whoever takes over asks there.
        if held.is_claimed:
            is_sent = held.stage is Stage.SENDING
            self._endings.end(held, Status.LOST if is_sent else Status.FAILED, LOST if is_sent else NOT_SENT)
            return
        if held.stage is Stage.QUEUED:
            self._deliveries.give_back(held)
            return
        spent = self._clock.now() - (held.progress.begun_at or self._clock.now())
        verdict = judge_failure(INTERRUPTED)
        held.progress = end_attempt(held.progress, verdict, duration=spent, wait=timedelta(0))
        self._recorder.put(held)
        self._deliveries.give_back(held)

    async def _until(self, is_reached: Callable[[], bool], deadline: float) -> None:
        while not is_reached() and self._clock.monotonic() < deadline:
            await self._clock.sleep(POLL)
