"""How much a target takes."""

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta

FREE = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds for the attempts that share a `key`; 0 means none.

    `max_concurrent` are under way at a time; `max_per_period` begin within any stretch as long as `period`.
    """

    key: str
    max_concurrent: int = 0
    max_per_period: int = 0
    period: timedelta = timedelta(seconds=1)


@dataclass(slots=True)
class Usage:
    """What is under way under one key, and when the last attempts began. Moments are monotonic seconds."""

    active: int = 0
    begins: deque[float] = field(default_factory=deque)

    def has_room(self, limits: Limits) -> bool:
        """Whether another attempt may be under way."""
        return not limits.max_concurrent or self.active < limits.max_concurrent

    def free_at(self, limits: Limits) -> float:
        """When another attempt may begin; in the past when it may now."""
        most = limits.max_per_period
        if not most or len(self.begins) < most:
            return FREE
        return self.begins[-most] + limits.period.total_seconds()

    def begin(self, now: float) -> None:
        """An attempt begins."""
        self.active += 1
        self.begins.append(now)

    def forget(self, before: float, most: int) -> None:
        """Drops begins that no limit counts any more: those up to a moment, and all but the last `most`."""
        while self.begins and (self.begins[0] <= before or len(self.begins) > most):
            self.begins.popleft()
