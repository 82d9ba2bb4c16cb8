"""The streams that schedulers hold open: credit and news for each, gathered and sent in batches."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from libs.clock import Clock
from services.dispatcher.domain.event import Event

MOST_EVENTS = 1_000
MOST_ATTEMPTS = 4_000
RECHECK_INTERVAL = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One message to a scheduler."""

    credit: int
    events: list[Event]
    is_draining: bool


def _drop(event: Event) -> None:
    del event


class Outbox:
    """What one scheduler is to be told. Adding to it never blocks; once closed, it forgets everything.

    What it should be told after that goes to `forward`: the scheduler may have another stream, or a successor.
    """

    def __init__(self, forward: Callable[[Event], None] = _drop) -> None:
        self._forward = forward
        self.is_open = True
        self.outstanding_credit = 0
        self._owed_credit = 0
        self._events: list[Event] = []
        self._is_draining = False
        self._changed = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether every event has been sent."""
        return not self._events

    def tell(self, event: Event) -> None:
        """Queues an event."""
        if self.is_open:
            self._events.append(event)
            self._changed.set()
        else:
            self._forward(event)

    def owe(self, credit: int) -> None:
        """Queues credit, to be given as soon as there is room for what comes with it."""
        if self.is_open and not self._is_draining:
            self._owed_credit += credit
            self._changed.set()

    def use_credit(self) -> None:
        """Notes that the scheduler has sent a delivery."""
        self.outstanding_credit -= 1

    def say_draining(self) -> None:
        """Queues the word that nothing more may be sent here."""
        self._is_draining = True
        self._owed_credit = 0
        self._changed.set()

    def close(self) -> None:
        """The scheduler is gone."""
        self.is_open = False
        self._events.clear()
        self._owed_credit = 0
        self._changed.set()

    async def news(self, clock: Clock, interval: timedelta, has_room: Callable[[], bool]) -> AsyncIterator[News]:
        """The messages to send, until the outbox is closed: one at once, then no more than one each `interval`.

        Credit is held back while there is no room.
        """
        yield self._take(has_room())
        while True:
            is_blocked = self._owed_credit > 0 and not self._events and not has_room()
            if not is_blocked:
                await self._changed.wait()
            await clock.sleep(RECHECK_INTERVAL if is_blocked else interval)
            if not self.is_open:
                return
            news = self._take(has_room())
            if news.credit or news.events or news.is_draining:
                yield news

    def _take(self, has_room: bool) -> News:
        credit = self._owed_credit if has_room else 0
        self._owed_credit -= credit
        self.outstanding_credit += credit
        count, attempts = 0, 0
        while count < min(len(self._events), MOST_EVENTS) and attempts < MOST_ATTEMPTS:
            attempts += len(self._events[count].attempts)
            count += 1
        events, self._events = self._events[:count], self._events[count:]
        if self._events:
            self._changed.set()
        else:
            self._changed.clear()
        return News(credit=credit, events=events, is_draining=self._is_draining)


class Streams:
    """All streams that are open now."""

    def __init__(self, credit_per_stream: int) -> None:
        self._credit = credit_per_stream
        self._outboxes: dict[Outbox, None] = {}
        self._is_draining = False

    def open(self) -> Outbox:
        """The outbox of a new stream, with its first credit."""
        outbox = Outbox(self._tell_all)
        outbox.owe(self._credit)
        if self._is_draining:
            outbox.say_draining()
        self._outboxes[outbox] = None
        return outbox

    def close(self, outbox: Outbox) -> None:
        """Forgets a stream that has ended."""
        outbox.close()
        self._outboxes.pop(outbox, None)

    def say_draining(self) -> None:
        """Tells every scheduler, and each that connects from now on, to send nothing more."""
        self._is_draining = True
        for outbox in self._outboxes:
            outbox.say_draining()

    def close_all(self) -> None:
        """Ends every stream."""
        for outbox in self._outboxes:
            outbox.close()

    def _tell_all(self, event: Event) -> None:
        """Who does not know the execution passes it over."""
        for outbox in self._outboxes:
            if outbox.is_open:
                outbox.tell(event)

    @property
    def are_empty(self) -> bool:
        """Whether every event has been sent."""
        return all(outbox.is_empty for outbox in self._outboxes)

    @property
    def count(self) -> int:
        """Streams open now."""
        return len(self._outboxes)

    @property
    def outstanding_credit(self) -> int:
        """Deliveries that schedulers may send before they get more credit."""
        return sum(outbox.outstanding_credit for outbox in self._outboxes)
