"""What must be closed before the loop ends, however the process ends."""

from collections.abc import Awaitable, Callable

Closer = Callable[[], Awaitable[None]]

_closers: list[Closer] = []


def at_end(closer: Closer) -> None:
    """Has `closer` called when the process ends, the last one given first. Giving one twice changes nothing."""
    if closer not in _closers:
        _closers.append(closer)


def forget(closer: Closer) -> None:
    """Takes back what was given to `at_end`, because it is closed already."""
    if closer in _closers:
        _closers.remove(closer)


async def close_all() -> None:
    """Closes whatever is still open."""
    while _closers:
        await _closers.pop()()
