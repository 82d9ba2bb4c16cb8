"""What is counted on the way."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts, and how late each target's first request came: (scheduled time, lateness)."""

    delivered: int = 0
    explained: int = 0
    duplicates_inside: int = 0
    duplicates_outside: int = 0
    overlaps_inside: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    lateness: list[tuple[int, int]] = field(default_factory=list)
