import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from services.dispatcher.domain.event import Event, EventKind
from services.dispatcher.domain.execution import Attempt
from services.dispatcher.streams import News, Outbox, Streams
from tests.deliveries import SCHEDULED
from tests.fakes.clock import FakeClock

INTERVAL = timedelta(milliseconds=5)


class Reader:
    def __init__(self) -> None:
        self.news: list[News] = []
        self.has_ended = False
        self.clock = FakeClock()

    async def read(self, outbox: Outbox, has_room: Callable[[], bool]) -> None:
        async for news in outbox.news(self.clock, INTERVAL, has_room):
            self.news.append(news)
        self.has_ended = True


@asynccontextmanager
async def reading(outbox: Outbox, has_room: Callable[[], bool] = lambda: True) -> AsyncIterator[Reader]:
    reader = Reader()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reader.read(outbox, has_room))
        await reader.clock.advance(timedelta(0))
        yield reader
        task.cancel()


def event(number: int = 0, attempts: int = 0) -> Event:
    attempt = Attempt(number=1, started_at=SCHEDULED, duration=INTERVAL)
    return Event(execution_id=str(number), kind=EventKind.RECORDED, attempts=(attempt,) * attempts)


async def test_the_first_credit_comes_at_once() -> None:
    async with reading(Streams(credit_per_stream=7).open()) as reader:
        assert [news.credit for news in reader.news] == [7]


async def test_news_is_gathered_over_an_interval() -> None:
    outbox = Outbox()
    async with reading(outbox) as reader:
        outbox.tell(event(1))
        outbox.owe(3)
        outbox.tell(event(2))
        await reader.clock.advance(INTERVAL)
        assert [(len(news.events), news.credit) for news in reader.news[1:]] == [(2, 3)]
        await reader.clock.advance(10 * INTERVAL)
        assert len(reader.news) == 2


async def test_credit_is_held_back_while_there_is_no_room() -> None:
    outbox = Outbox()
    has_room = False
    async with reading(outbox, lambda: has_room) as reader:
        outbox.owe(3)
        outbox.tell(event())
        await reader.clock.advance(timedelta(seconds=1))
        assert [(len(news.events), news.credit) for news in reader.news] == [(0, 0), (1, 0)]
        has_room = True
        await reader.clock.advance(timedelta(seconds=1))
        assert reader.news[-1].credit == 3
        assert outbox.outstanding_credit == 3


async def test_a_message_is_bounded() -> None:
    outbox = Outbox()
    async with reading(outbox) as reader:
        for number in range(2_500):
            outbox.tell(event(number))
        await reader.clock.advance(10 * INTERVAL)
        assert [len(news.events) for news in reader.news[1:]] == [1_000, 1_000, 500]
        for number in range(100):
            outbox.tell(event(number, attempts=100))
        await reader.clock.advance(10 * INTERVAL)
        assert [len(news.events) for news in reader.news[4:]] == [40, 40, 20]


async def test_a_closed_outbox_forgets_and_ends() -> None:
    outbox = Outbox()
    async with reading(outbox) as reader:
        outbox.close()
        outbox.tell(event())
        outbox.owe(1)
        await reader.clock.advance(INTERVAL)
        assert reader.has_ended
        assert len(reader.news) == 1


async def test_draining_is_said_to_all_and_gives_no_more_credit() -> None:
    streams = Streams(credit_per_stream=7)
    outbox = streams.open()
    async with reading(outbox) as reader:
        streams.say_draining()
        outbox.owe(5)
        await reader.clock.advance(INTERVAL)
        assert (reader.news[-1].is_draining, reader.news[-1].credit) == (True, 0)
        await reader.clock.advance(timedelta(seconds=1))
        assert len(reader.news) == 2
    async with reading(streams.open()) as late:
        assert [(news.is_draining, news.credit) for news in late.news] == [(True, 0)]


async def test_what_a_closed_stream_would_be_told_is_told_to_the_others() -> None:
    streams = Streams(credit_per_stream=7)
    gone, left = streams.open(), streams.open()
    async with reading(left) as reader:
        streams.close(gone)
        gone.tell(event(3))
        await reader.clock.advance(INTERVAL)
        assert [told.execution_id for news in reader.news for told in news.events] == [event(3).execution_id]
