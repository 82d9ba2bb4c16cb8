"""Who hears of commits."""

from collections.abc import Sequence
from typing import Protocol


class CommitObserver(Protocol):
    """Hears of each commit of records, in whatever thread writes."""

    def committed(self, records: int, seconds: float) -> None:
        """So many records became durable in one transaction, which took so long."""

    def died(self, statuses: Sequence[int]) -> None:
        """Executions with these statuses became dead letters. Comes after the commit, and only where there are any."""
