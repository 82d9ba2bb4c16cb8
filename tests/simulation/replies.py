"""A question to another node and its answer, each one message of the network."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Messages(Protocol):
    """The part of the network that is used here."""

    def send(self, source: str, target: str, deliver: Callable[[], None]) -> None:
        """Brings a message, or loses it."""


class NoReplyError(Exception):
    """No answer came in time: the question may have been heard or not."""


async def ask(network: Messages, source: str, target: str, answer: Callable[[], T], *, seconds: float) -> T:
    """What `answer` gives, computed at `target`. Raises NoReplyError, or what `answer` raises."""
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[T] = loop.create_future()

    def hear() -> None:
        try:
            found = answer()
        except Exception as error:  # noqa: BLE001 - travels back to the caller
            network.send(target, source, lambda error=error: _fail(reply, error))  # type: ignore[misc]
        else:
            network.send(target, source, lambda: _settle(reply, found))

    network.send(source, target, hear)
    try:
        async with asyncio.timeout(seconds):
            return await reply
    except TimeoutError as error:
        raise NoReplyError(f"{target} did not answer within {seconds:g} s") from error


def _settle(reply: asyncio.Future[T], found: T) -> None:
    if not reply.done():
        reply.set_result(found)


def _fail(reply: asyncio.Future[T], error: Exception) -> None:
    if not reply.done():
        reply.set_exception(error)
