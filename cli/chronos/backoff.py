"""How long to wait before a child that died is started again."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses that double from `first` to `longest`, and start over once a run lasted `stable_after`."""

    first: timedelta = timedelta(milliseconds=200)
    longest: timedelta = timedelta(seconds=5)
    stable_after: timedelta = timedelta(seconds=10)

    def pause(self, previous: timedelta | None, *, ran_for: timedelta) -> timedelta:
        """The pause after a run of `ran_for`; `previous` is the pause before that run, None for the first run."""
        if previous is None or ran_for >= self.stable_after:
            return self.first
        return min(previous * 2, self.longest)
