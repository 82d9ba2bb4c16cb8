"""Pauses between attempts."""

from datetime import timedelta

SHORTEST_PAUSE = timedelta(milliseconds=20)
LONGEST_PAUSE = timedelta(seconds=1)


class Backoff:
    """Short at first, doubled with each attempt up to `longest`."""

    def __init__(self, longest: timedelta = LONGEST_PAUSE) -> None:
        self._longest = longest
        self._pause = SHORTEST_PAUSE

    def reset(self) -> None:
        """After a success."""
        self._pause = SHORTEST_PAUSE

    def next(self) -> timedelta:
        """The pause to make now."""
        pause, self._pause = self._pause, min(self._pause * 2, self._longest)
        return pause
