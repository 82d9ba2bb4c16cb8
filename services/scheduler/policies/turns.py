"""Long work that leaves others their turns."""

from datetime import timedelta

from libs.clock import Clock

# Seconds for which work may keep everything else from its turn.
LONGEST_TURN = 0.005


class Turns:
    """Of one piece of work that may take longer than one turn, which begins now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()

    async def leave(self) -> None:
        """Lets others have theirs, if this one was long."""
        if self._clock.monotonic() - self._began > LONGEST_TURN:
            await self._clock.sleep(timedelta(0))
            self._began = self._clock.monotonic()
