"""The life of a service's process: one loop, signals, start, loops, drain, exit code."""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import uvloop

from libs import log, telemetry
from libs.clock import Clock, SystemClock
from libs.closing import close_all
from libs.settings import ServiceSettings

EXIT_OK = 0
EXIT_CRASHED = 1
logger = log.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A service that is wired and not yet running."""

    start: Callable[[], Awaitable[None]]
    """Begins to accept work and says SERVING."""
    loops: Mapping[str, Callable[[], Awaitable[None]]]
    """What runs until it is cancelled, by name. One that raises or returns before a stop ends the process."""
    drain: Callable[[], Awaitable[None]]
    """Says NOT_SERVING, accepts nothing more, finishes what is under way. Cut off after `drain_timeout`."""


class LoopEndedError(Exception):
    """A loop returned although nobody had asked the process to stop."""


def run(service: str, settings: ServiceSettings, open_app: Callable[[], AbstractAsyncContextManager[App]]) -> int:
    """Runs a service until SIGTERM or SIGINT; gives the exit code: 0 after a stop, 1 after a crash.

    The first signal drains; while the app is still opening it gives up at once. A second signal quits on the spot.
    """
    log.configure(settings.log_level, service, settings.replica)
    telemetry.configure(service, settings.replica, settings.otlp_endpoint, settings.trace_sample_ratio)
    factory = uvloop.new_event_loop if settings.use_uvloop else asyncio.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_live(settings, open_app))
    finally:
        telemetry.shutdown()


async def serve(app: App, stop: asyncio.Event, drain_timeout: timedelta, clock: Clock) -> None:
    """Starts the app, keeps its loops running until `stop` is set, drains, and cancels the loops.

    Raises what a loop raised (an ExceptionGroup); the other loops are cancelled then, and nothing is drained.
    """
    await app.start()
    # What is there now stays: full collections, which stop the loop, then look only at what came later.
    gc.collect()
    gc.freeze()
    logger.info("serving", loops=sorted(app.loops))
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(_keep(name, loop, stop), name=name) for name, loop in app.loops.items()]
        await stop.wait()
        logger.info("draining", at_most_seconds=drain_timeout.total_seconds())
        if await wait_first(_as_coroutine(app.drain()), clock.sleep(drain_timeout)) == 1:
            logger.warning("drain cut off", after_seconds=drain_timeout.total_seconds())
        for loop in loops:
            loop.cancel()


async def wait_first(*waits: Coroutine[Any, Any, object]) -> int:
    """Runs all, and gives the index of the one that ended first after the others have been cancelled and are gone.

    Raises what the first one raised. What another one raises while it is cancelled is logged.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_captured(wait)) for wait in waits]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = next(task for task in tasks if task in done)
        for task in tasks:
            task.cancel()
    for task in tasks:
        error = None if task.cancelled() else task.result()
        if error is not None and task is first:
            raise error
        if error is not None:
            logger.warning("cancelled wait failed", exc_info=error)
    return tasks.index(first)


async def _live(settings: ServiceSettings, open_app: Callable[[], AbstractAsyncContextManager[App]]) -> int:
    stop, opening = asyncio.Event(), asyncio.current_task()
    is_open = False

    def on_signal(name: str) -> None:
        if stop.is_set():
            logger.warning("quitting at once", signal=name)
            os._exit(EXIT_CRASHED)
        logger.info("stopping", signal=name)
        stop.set()
        if not is_open and opening is not None:
            opening.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number.name)
    try:
        async with open_app() as app:
            is_open = True
            try:
                await serve(app, stop, settings.drain_timeout, SystemClock())
            finally:
                await close_all()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    except Exception as error:
        logger.error("crashed", exc_info=error)
        return EXIT_CRASHED
    logger.info("stopped")
    return EXIT_OK


async def _keep(name: str, loop: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    await loop()
    if not stop.is_set():
        raise LoopEndedError(f"the loop {name} ended by itself")


async def _captured(wait: Coroutine[Any, Any, object]) -> Exception | None:
    try:
        await wait
    except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
        return error
    return None


async def _as_coroutine(wait: Awaitable[None]) -> None:
    await wait
