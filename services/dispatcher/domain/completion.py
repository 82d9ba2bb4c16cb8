"""Targets that only accept the work, and tell later how it ended."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from services.dispatcher.domain.outcome import Verdict

USUAL_DEADLINE = timedelta(hours=1)
HTTP_ACCEPTED = 202


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """How long the target may take once it has accepted, which it does by success with one of `accepted_codes`.

    Without any codes, each success means that it has.
    """

    deadline: timedelta = USUAL_DEADLINE
    accepted_codes: Collection[int] = ()

    def is_acceptance(self, verdict: Verdict) -> bool:
        """Whether the attempt ended with the target having accepted."""
        return verdict.is_success and (not self.accepted_codes or verdict.status_code in self.accepted_codes)
