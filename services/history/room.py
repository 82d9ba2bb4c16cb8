"""A bound on what is under way, which those who bring more wait for."""

import asyncio
from collections import deque


class Room:
    """Lets in as much as fits, in the order of asking. Something larger than the whole room is let in alone."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """How much is inside."""
        return self._used

    async def enter(self, size: int) -> None:
        """Waits until `size` fits, and takes it up."""
        if not self._waiting and self._fits(size):
            self._used += size
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self.leave(size)
            else:
                self._waiting.remove((size, admitted))
                self._admit()
            raise

    def leave(self, size: int) -> None:
        """Gives back what `enter` took."""
        self._used -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, admitted = self._waiting.popleft()
            if not admitted.cancelled():
                self._used += size
                admitted.set_result(None)

    def _fits(self, size: int) -> bool:
        return self._used == 0 or self._used + size <= self._capacity
