"""How long to wait before the next attempt."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

NO_WAIT = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how patiently, a failed attempt is repeated."""

    max_attempts: int = 3
    initial_interval: timedelta = timedelta(seconds=1)
    max_interval: timedelta = timedelta(minutes=1)
    multiplier: float = 2.0

    def ceiling(self, attempt: int) -> timedelta:
        """The longest wait after that attempt (1 for the first), before jitter."""
        try:
            growth = self.multiplier ** (attempt - 1)
        except OverflowError:
            return self.max_interval
        if growth >= self.max_interval / self.initial_interval:
            return self.max_interval
        return self.initial_interval * growth

    def wait(self, attempt: int, draw: Callable[[], float]) -> timedelta:
        """The wait after that attempt, with equal jitter: half of the ceiling, and a random part of the other half.

        Keeps clients that failed together from coming back together, and yet never hurries. `draw` gives a number
        in [0, 1). Source: M. Brooker, "Exponential Backoff And Jitter", 2015.
        """
        return self.ceiling(attempt) * (0.5 + draw() / 2)


def retry_after(header: str, *, now: datetime, longest: timedelta) -> timedelta:
    """What a `Retry-After` header asks for (RFC 9110, 10.2.3): seconds or a date; zero when absent or nonsense."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=min(int(text[:12]), 10**9)), longest)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return NO_WAIT
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment - now, NO_WAIT), longest)
