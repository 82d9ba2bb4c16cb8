"""Where findings are shown."""

from collections.abc import Sequence
from typing import Protocol

from services.scheduler.domain.invariants import Finding


class FindingBoard(Protocol):
    """What this replica finds wrong, for all to see."""

    def show(self, findings: Sequence[Finding]) -> None:
        """Shows these instead of those before. Never waits."""
