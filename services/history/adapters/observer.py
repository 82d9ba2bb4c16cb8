"""Who hears of commits."""

from typing import Protocol


class CommitObserver(Protocol):
    """Hears of each commit of records, in whatever thread writes."""

    def committed(self, records: int, seconds: float) -> None:
        """So many records became durable in one transaction, which took so long."""
