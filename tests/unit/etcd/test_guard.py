import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from libs.etcd.guard import SECOND_WAIT, Guard, Readers
from libs.faults import Unavailable
from tests.eventually import soon
from tests.fakes.clock import FakeClock
from tests.unit.etcd.replicas import running

INTERVAL = timedelta(milliseconds=500)


class Server:
    """A server that answers, or refuses, or says nothing until the guard's patience is over."""

    def __init__(self, address: str, clock: FakeClock) -> None:
        self.address = address
        self.readers = Readers()
        self.is_fit = True
        self.is_silent = False
        self.asked: list[timedelta] = []
        self._clock = clock

    async def confirm(self, timeout: timedelta) -> None:
        self.asked.append(timeout)
        if self.is_silent:
            await self._clock.sleep(timeout)
        if self.is_silent or not self.is_fit:
            raise Unavailable("no leader")


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.a, self.b, self.c = self.servers = [Server(name, self.clock) for name in "abc"]
        self.preferred: list[Server] = []
        self.cut: list[str] = []

    @asynccontextmanager
    async def guarding(self, interval: timedelta = INTERVAL) -> AsyncIterator[None]:
        async with running(Guard(self.servers, self.preferred.append, self.clock, interval).run()):
            yield

    @asynccontextmanager
    async def reading(self, *servers: Server) -> AsyncIterator[None]:
        """One watch on each of the servers."""
        if not servers:
            yield
            return
        with servers[0].readers.reading(lambda: self.cut.append(servers[0].address)):
            async with self.reading(*servers[1:]):
                yield


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_server_without_watches_is_not_asked(rig: Rig) -> None:
    async with rig.guarding():
        await rig.clock.advance(10 * INTERVAL)
    assert [server.asked for server in rig.servers] == [[], [], []]


async def test_each_server_that_is_watched_is_asked_once_a_round(rig: Rig) -> None:
    async with rig.reading(rig.a, rig.a, rig.b), rig.guarding():
        await rig.clock.advance(4 * INTERVAL)
    assert [len(server.asked) for server in rig.servers] == [4, 4, 0]
    assert rig.cut == []


async def test_all_watches_on_an_unfit_server_are_cut_at_once(rig: Rig) -> None:
    rig.a.is_fit = False
    async with rig.reading(rig.a, rig.b, rig.a), rig.guarding():
        await rig.clock.advance(INTERVAL)
        assert rig.cut == ["a", "a"]
        assert rig.preferred == [rig.b]


async def test_a_silent_server_is_left_within_three_intervals(rig: Rig) -> None:
    rig.a.is_silent = True
    async with rig.reading(rig.a), rig.guarding():
        await rig.clock.advance(2 * INTERVAL)
        assert rig.cut == []
        await rig.clock.advance(INTERVAL + SECOND_WAIT)
        assert rig.cut == ["a"]


async def test_a_server_that_answers_once_another_one_does_is_not_left(rig: Rig) -> None:
    rig.a.is_silent = rig.b.is_silent = rig.c.is_silent = True  # As while a leader is elected.
    async with rig.reading(rig.a), rig.guarding():
        await rig.clock.advance(3 * INTERVAL)
        rig.a.is_silent = rig.b.is_silent = rig.c.is_silent = False
        await rig.clock.advance(10 * INTERVAL)
        assert rig.cut == []


async def test_with_long_intervals_a_server_has_a_second_to_answer(rig: Rig) -> None:
    async with rig.reading(rig.a), rig.guarding(timedelta(seconds=5)):
        await rig.clock.advance(timedelta(seconds=5))
    assert rig.a.asked == [timedelta(seconds=1)]


async def test_of_two_unfit_servers_neither_is_gone_to(rig: Rig) -> None:
    rig.a.is_fit = False
    rig.b.is_silent = True
    async with rig.reading(rig.a, rig.b), rig.guarding():
        await rig.clock.advance(INTERVAL)
        assert rig.cut == ["a"]
        await rig.clock.advance(2 * INTERVAL + SECOND_WAIT)
        assert rig.cut == ["a", "b"]
    assert rig.preferred == [rig.c, rig.c]


async def test_while_no_server_is_fit_watches_stay_where_they_are(rig: Rig) -> None:
    for server in rig.servers:
        server.is_fit = False
    async with rig.reading(rig.a), rig.guarding():
        await rig.clock.advance(10 * INTERVAL)
        assert rig.cut == []
        rig.c.is_fit = True
        await rig.clock.advance(INTERVAL)
        assert rig.cut == ["a"]
    assert rig.preferred == [rig.c]


async def test_a_cut_that_looks_like_a_cancellation_is_unavailable() -> None:
    readers = Readers()
    outcomes: list[str] = []

    async with asyncio.TaskGroup() as group:
        task = group.create_task(_read(readers, outcomes.append))
        await soon(lambda: len(readers) == 1)
        assert readers.cut() == 1
        await asyncio.wait([task])
    assert outcomes == ["unavailable"]
    assert len(readers) == 0


@pytest.mark.parametrize("is_cut_too", [False, True])
async def test_a_real_cancellation_stays_one(*, is_cut_too: bool) -> None:
    readers = Readers()
    outcomes: list[str] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_read(readers, outcomes.append))
        await soon(lambda: len(readers) == 1)
        if is_cut_too:
            readers.cut()
        task.cancel()
    assert outcomes == ["cancelled"]
    assert task.cancelled()


async def _read(readers: Readers, note: Callable[[str], None]) -> None:
    """Reads from a stream that never tells anything; its end from outside raises CancelledError, as gRPC's does."""
    stream: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    try:
        with readers.reading(stream.cancel):
            await stream
    except Unavailable:
        note("unavailable")
    except asyncio.CancelledError:
        note("cancelled")
        raise
