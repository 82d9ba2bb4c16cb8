"""The delivery loop: takes what is due, sends it, and decides what comes next."""

import asyncio
import random
from datetime import timedelta

from libs.clock import Clock
from libs.log import get_logger
from services.dispatcher import metrics
from services.dispatcher.attempts import Attempts
from services.dispatcher.deliveries import Deliveries
from services.dispatcher.domain.backoff import retry_after
from services.dispatcher.domain.execution import accept, begin_attempt, end_attempt
from services.dispatcher.domain.outcome import Verdict, judge_failure
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.held import Held, Stage
from services.dispatcher.recorder import Recorder
from services.dispatcher.retries import Retries

INTERNAL = judge_failure(
    Failure(kind=FailureKind.INTERNAL, error="internal error in the dispatcher; its log has the details")
)


class DeliveryLoop:
    """Sends at most `max_in_flight` requests at a time. What failed waits elsewhere and comes back to the queue."""

    def __init__(
        self,
        deliveries: Deliveries,
        retries: Retries,
        recorder: Recorder,
        attempts: Attempts,
        clock: Clock,
        dice: random.Random,
        *,
        max_in_flight: int,
        max_retry_after: timedelta,
    ) -> None:
        self._deliveries = deliveries
        self._retries = retries
        self._recorder = recorder
        self._attempts = attempts
        self._clock = clock
        self._dice = dice
        self._max_in_flight = max_in_flight
        self._max_retry_after = max_retry_after
        self._busy = 0
        self._log = get_logger()

    @property
    def busy(self) -> int:
        """Workers at work, at most `max_in_flight`."""
        return self._busy

    async def run(self) -> None:
        """Delivers until cancelled. A worker lives as long as there is something in the queue."""
        arrived = self._deliveries.arrived
        async with asyncio.TaskGroup() as workers:
            while True:
                await arrived.wait()
                arrived.clear()
                for _ in range(min(self._deliveries.queued_count, self._max_in_flight - self._busy)):
                    self._busy += 1
                    workers.create_task(self._work())

    def abandon(self, held: Held) -> None:
        """Goes on without the answer to the request of an execution that has ended meanwhile.

        HTTP has no way to take a request back, and the client none to hang up while it waits for the answer. So the
        request takes up nobody's turn any more, but keeps its place at its endpoint until it is over: however often
        executions are cancelled, an endpoint that hangs has no more than its share of connections.
        """
        self._attempts.abandon(held)
        self._busy -= 1
        self._deliveries.arrived.set()

    async def _work(self) -> None:
        has_turn = True
        try:
            while has_turn and (held := self._deliveries.take()) is not None:
                try:
                    await self._deliver(held)
                except Exception as error:  # noqa: BLE001 - one delivery must never end the loop
                    self._log.error("delivery failed unexpectedly", execution_id=held.id, exc_info=error)
                    self._give_up(held)
                finally:
                    has_turn = not held.is_broken_off
                    self._deliveries.taken(held)
        finally:
            if has_turn:
                self._busy -= 1
            else:
                # Its turn went to another worker when it was abandoned; its place at the endpoint is free only now.
                self._deliveries.arrived.set()

    async def _deliver(self, held: Held) -> None:
        now, start = self._clock.now(), self._clock.monotonic()
        held.progress = begin_attempt(held.progress, now=now)
        if held.progress.begun_count == 1:
            metrics.LATENESS.observe(max(0.0, (now - held.delivery.scheduled_time).total_seconds()))
        self._recorder.put(held)
        try:
            verdict = await self._attempts.make(held)
        except Exception as error:  # noqa: BLE001 - the next attempt may do better
            self._log.error("attempt failed unexpectedly", execution_id=held.id, exc_info=error)
            verdict = INTERNAL
        seconds = self._clock.monotonic() - start
        metrics.ATTEMPT_SECONDS.observe(seconds)
        if held.stage is Stage.SENDING:
            self._conclude(held, verdict, timedelta(seconds=seconds))

    def _conclude(self, held: Held, verdict: Verdict, duration: timedelta) -> None:
        completion = held.delivery.plan.completion
        if completion is not None and completion.is_acceptance(verdict):
            metrics.ACCEPTED.inc()
            held.progress = accept(held.progress, verdict, duration=duration, deadline=completion.deadline)
            held.stage = Stage.ACCEPTED
            self._recorder.put(held)
            held.give_credit_back()
            return
        wait = self._wait(held, verdict)
        held.progress = end_attempt(held.progress, verdict, duration=duration, wait=wait)
        if held.is_stale and not verdict.is_success:
            # Somebody else owns the shard and decides about this execution: only a success still counts.
            self._deliveries.drop(held)
        elif wait is None:
            (metrics.SUCCEEDED if verdict.is_success else metrics.GIVEN_UP).inc()
            held.stage = Stage.ENDED
            self._recorder.put(held)
        else:
            metrics.TO_BE_RETRIED.inc()
            self._retries.add(held, wait)
            self._recorder.put(held)
        held.give_credit_back()

    def _give_up(self, held: Held) -> None:
        if held.stage is Stage.SENDING:
            held.progress = end_attempt(held.progress, INTERNAL, duration=timedelta(0), wait=None)
            held.stage = Stage.ENDED
            self._recorder.put(held)
            held.give_credit_back()

    def _wait(self, held: Held, verdict: Verdict) -> timedelta | None:
        """The wait before the next attempt; None when there is none."""
        plan, made = held.delivery.plan, held.progress.begun_count
        if not verdict.is_retryable or made >= plan.retry_policy.max_attempts:
            return None
        if plan.is_at_most_once and not verdict.is_unsent:
            return None
        # The back-off comes on top of the wait for a probe, so that not all who wait for it come at once.
        wait = verdict.wait + plan.retry_policy.wait(made, self._dice.random)
        if verdict.retry_after:
            asked = retry_after(verdict.retry_after, now=self._clock.now(), longest=self._max_retry_after)
            wait = max(wait, asked)
        return wait
