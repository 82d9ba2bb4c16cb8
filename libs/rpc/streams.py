"""The streams that a server has open, so that a drain can end them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class OpenStreams:
    """Ends streams by letting the timeout around each of them expire."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Timeout, None] = {}  # keeps the order in which they were opened
        self._is_draining = False

    @contextmanager
    def opened(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Keeps `limit`, which is entered, for as long as the block runs."""
        self._open[limit] = None
        if self._is_draining:
            _expire(limit)
        try:
            yield
        finally:
            self._open.pop(limit, None)

    def end_all(self) -> None:
        """Makes every stream raise TimeoutError, those that open later too."""
        self._is_draining = True
        for limit in self._open:
            _expire(limit)


def _expire(limit: asyncio.Timeout) -> None:
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())
