"""The use cases of the dispatcher, put together."""

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from libs.clock import Clock
from services.dispatcher import metrics
from services.dispatcher.attempts import Attempts
from services.dispatcher.breakers import Breakers
from services.dispatcher.cancelling import Cancelling
from services.dispatcher.claims import Claims
from services.dispatcher.convert_plans import read_plan
from services.dispatcher.convert_records import write_record
from services.dispatcher.deliveries import Deliveries
from services.dispatcher.delivery import DeliveryLoop
from services.dispatcher.domain.breaker import Rules
from services.dispatcher.draining import Draining
from services.dispatcher.endings import Endings
from services.dispatcher.intake import Intake
from services.dispatcher.lanes import Lanes
from services.dispatcher.plans import Plans
from services.dispatcher.ports import Ledger, Sender
from services.dispatcher.recent import RecentlyFinished
from services.dispatcher.recorder import Recorder, RecorderLimits
from services.dispatcher.retries import Retries
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.streams import Streams
from services.dispatcher.throttles import Throttles


class Dispatch:
    """Everything between the streams of schedulers on one side, endpoints and history on the other."""

    def __init__(
        self,
        settings: DispatcherSettings,
        *,
        sender: Sender,
        ledger: Ledger,
        clock: Clock,
        dice: random.Random,
        user_agent: str,
        instance: str,
    ) -> None:
        self._settings = settings
        recent = RecentlyFinished(clock, limit=settings.remember_finished, span=settings.remember_finished_for)
        self.streams = Streams(settings.credit_per_stream)
        self.deliveries = Deliveries(recent, Lanes(settings.max_in_flight_per_endpoint))
        self.claims = Claims(
            self.deliveries,
            Lanes(settings.max_claims_per_endpoint),
            record=lambda held: self.recorder.put(held),
            cancel=lambda held: self._cancelling.cancel_claimed(held),
        )
        self.throttles = Throttles(self.claims.enqueue, clock)
        self.retries = Retries(self.throttles.enqueue, clock)
        write = partial(write_record, claimant=instance)
        self.recorder = Recorder(ledger, self.deliveries, self.claims, write, clock, _recorder_limits(settings))
        self.breakers = Breakers(
            _breaker_rules(settings), clock, limit=settings.max_breakers, memory=settings.breaker_memory
        )
        self.delivery_loop = DeliveryLoop(
            self.deliveries,
            self.retries,
            self.recorder,
            Attempts(sender, self.breakers, dice),
            clock,
            dice,
            max_in_flight=settings.max_in_flight,
            max_retry_after=settings.max_retry_after,
        )
        endings = Endings(self.recorder, self.delivery_loop.abandon, clock)
        self._cancelling = Cancelling(self.deliveries, self.claims, endings)
        compile_plan = partial(
            read_plan,
            user_agent=user_agent,
            dispatcher=settings.replica,
            usual_secrets=settings.usual_secrets,
        )
        plans = Plans(compile_plan, most_bytes=settings.max_plan_bytes)
        self.intake = Intake(self.deliveries, self._cancelling, self.retries, self.throttles, plans, clock)
        self._draining = Draining(
            self.deliveries,
            self.claims,
            self.retries,
            self.throttles,
            self.recorder,
            endings,
            self.streams,
            clock,
            timeout=settings.drain_timeout,
        )

    @property
    def loops(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What must run."""
        return {
            "deliveries": self.delivery_loop.run,
            "retries": self.retries.run,
            "throttles": self.throttles.run,
            "recorder": self.recorder.run,
            "breakers": self.breakers.run,
        }

    @property
    def has_room(self) -> bool:
        """Whether schedulers may send more: nothing that piles up here has reached its bound."""
        return (
            self.recorder.has_room
            and len(self.retries) < self._settings.max_waiting_retries
            and self.deliveries.queued_count + len(self.claims) + len(self.throttles) < self._settings.max_queued
        )

    async def drain(self) -> None:
        """Finishes what is under way and hands the rest back."""
        await self._draining.run()

    def measure(self) -> None:
        """Lets the gauges show what is here now."""
        metrics.IN_FLIGHT.set_function(lambda: self.delivery_loop.busy)
        metrics.HELD.set_function(lambda: self.deliveries.held_count)
        metrics.QUEUED.set_function(lambda: self.deliveries.queued_count)
        metrics.THROTTLED.set_function(lambda: len(self.throttles))
        metrics.WAITING.set_function(lambda: len(self.retries))
        metrics.RECORDS.set_function(lambda: self.recorder.backlog)
        metrics.BREAKERS.set_function(lambda: len(self.breakers.tripped))
        metrics.STREAMS.set_function(lambda: self.streams.count)
        metrics.CREDIT.set_function(lambda: self.streams.outstanding_credit)


def _breaker_rules(settings: DispatcherSettings) -> Rules:
    return Rules(
        failures=settings.breaker_failures,
        open_seconds=settings.breaker_open.total_seconds(),
        successes=settings.breaker_successes,
    )


def _recorder_limits(settings: DispatcherSettings) -> RecorderLimits:
    return RecorderLimits(
        flush_interval=settings.record_interval,
        batch_size=settings.record_batch_size,
        batches_in_flight=settings.record_batches_in_flight,
        most_records=settings.max_buffered_records,
        most_response_bytes=settings.max_buffered_response_bytes,
    )
