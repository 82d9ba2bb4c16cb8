"""A way for one task to tell any number of others that something changed."""

import asyncio


class Signal:
    """Counts changes, so that nobody who looks at `version` before waiting can miss one."""

    def __init__(self) -> None:
        self.version = 0
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wakes all who wait."""
        self.version += 1
        self._event.set()
        self._event = asyncio.Event()

    async def changed(self, seen: int | None = None) -> int:
        """Waits until there is a newer version than `seen` (by default the present one), and returns it."""
        seen = self.version if seen is None else seen
        while self.version == seen:
            await self._event.wait()
        return self.version
