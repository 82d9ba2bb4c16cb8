"""The life of an app under `serve`, on a clock that stands still."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from libs.process import App, LoopEndedError, serve, wait_first
from tests.fakes.clock import FakeClock

TWENTY_SECONDS = timedelta(seconds=20)


class Recorder:
    """An app that writes down what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.hold_drain = asyncio.Event()
        self.hold_drain.set()

    def app(self, **loops: Callable[[], Awaitable[None]]) -> App:
        return App(start=self.start, loops=loops or {"forever": self.forever}, drain=self.drain)

    async def start(self) -> None:
        self.events.append("start")

    async def drain(self) -> None:
        self.events.append("drain")
        await self.hold_drain.wait()
        self.events.append("drained")

    async def forever(self) -> None:
        self.events.append("loop")
        try:
            await asyncio.Event().wait()
        finally:
            self.events.append("loop cancelled")


async def settle() -> None:
    await FakeClock().advance(timedelta(0))


async def test_a_stop_drains_before_the_loops_are_cancelled() -> None:
    recorder, stop = Recorder(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(recorder.app(), stop, TWENTY_SECONDS, FakeClock()))
        await settle()
        assert recorder.events == ["start", "loop"]
        stop.set()
    assert recorder.events == ["start", "loop", "drain", "drained", "loop cancelled"]


async def test_a_drain_that_takes_too_long_is_cut_off() -> None:
    recorder, stop, clock = Recorder(), asyncio.Event(), FakeClock()
    recorder.hold_drain.clear()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve(recorder.app(), stop, TWENTY_SECONDS, clock))
        await settle()
        stop.set()
        await clock.advance(timedelta(seconds=19))
        assert not serving.done()
        await clock.advance(timedelta(seconds=1))
        assert serving.done()
    assert recorder.events == ["start", "loop", "drain", "loop cancelled"]


async def test_a_loop_that_raises_cancels_the_others_and_is_not_drained() -> None:
    recorder = Recorder()

    async def crash() -> None:
        raise ValueError("boom")

    with pytest.raises(ExceptionGroup) as caught:
        await serve(recorder.app(forever=recorder.forever, crash=crash), asyncio.Event(), TWENTY_SECONDS, FakeClock())
    assert [str(error) for error in caught.value.exceptions] == ["boom"]
    assert recorder.events == ["start", "loop", "loop cancelled"]


async def test_a_loop_that_returns_before_the_stop_is_a_crash() -> None:
    async def idle() -> None:
        return None

    with pytest.raises(ExceptionGroup) as caught:
        await serve(Recorder().app(idle=idle), asyncio.Event(), TWENTY_SECONDS, FakeClock())
    assert isinstance(caught.value.exceptions[0], LoopEndedError)
    assert "idle" in str(caught.value.exceptions[0])


async def test_a_loop_may_return_while_draining() -> None:
    recorder, stop = Recorder(), asyncio.Event()

    async def until_stop() -> None:
        await stop.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(serve(recorder.app(brief=until_stop), stop, TWENTY_SECONDS, FakeClock()))
        await settle()
        stop.set()
    assert recorder.events == ["start", "drain", "drained"]


async def test_a_drain_that_raises_is_a_crash() -> None:
    recorder, stop = Recorder(), asyncio.Event()
    stop.set()

    async def broken() -> None:
        raise OSError("disk")

    app = App(start=recorder.start, loops={"forever": recorder.forever}, drain=broken)
    with pytest.raises(ExceptionGroup) as caught:
        await serve(app, stop, TWENTY_SECONDS, FakeClock())
    assert isinstance(caught.value.exceptions[0], OSError)


async def test_wait_first_names_the_winner_and_cancels_the_rest() -> None:
    recorder, winner = Recorder(), asyncio.Event()
    winner.set()
    assert await wait_first(recorder.forever(), winner.wait()) == 1
    assert recorder.events == ["loop", "loop cancelled"]


async def test_wait_first_raises_what_the_winner_raised_as_it_is() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await wait_first(asyncio.Event().wait(), fail())


async def test_cancelling_wait_first_cancels_all_that_it_waits_for() -> None:
    recorder = Recorder()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait_first(recorder.forever(), recorder.forever()))
        await settle()
        waiting.cancel()
    assert recorder.events == ["loop", "loop", "loop cancelled", "loop cancelled"]
