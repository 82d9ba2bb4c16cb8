"""What must always hold while jobs fire, and for how long it may be otherwise before that is a finding."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MOST_FINDINGS = 100
MOST_OF_A_KIND = 20
NO_TIME = timedelta(0)
# A run waits for its turn at its dispatcher, and its records travel to the ledger.
SLACK = timedelta(minutes=1)


class Kind(StrEnum):
    """Which rule is broken."""

    OVERDUE = "overdue"
    UNDELIVERED = "undelivered"
    STUCK = "stuck"
    IN_DOUBT = "in_doubt"
    UNHELD = "unheld"
    BEHIND = "behind"
    BACKLOG = "backlog"
    UNOWNED = "unowned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Something that should not be so, and is a finding once it was seen for as long as `patience`.

    `progress` is whatever changes when things go on after all: a change begins the time anew. `since` is told when it
    is known; otherwise it is when the suspicion was seen first.
    """

    kind: Kind
    subject: str
    message: str
    fix: str
    patience: timedelta = NO_TIME
    progress: Hashable = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A broken rule. Kind and subject say which one; the message may change while it is broken."""

    kind: Kind
    subject: str
    since: datetime
    message: str
    fix: str

    @property
    def key(self) -> tuple[Kind, str]:
        """What makes it the same finding at the next look."""
        return self.kind, self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """How long one attempt may take, how many there are, and how long the waits between them become at most."""

    timeout: timedelta
    max_attempts: int
    initial_interval: timedelta
    max_interval: timedelta
    multiplier: float


class Suspicions:
    """Remembers since when each suspicion holds."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[datetime, float]] = {}

    def judge(self, suspicions: Iterable[Suspicion], *, now: datetime, elapsed: float) -> list[Finding]:
        """The findings at a look, the oldest first: at most 20 of a kind and 100 in all.

        `suspicions` are all that hold now. `elapsed` is a clock in seconds that nobody sets.
        """
        seen: dict[Hashable, tuple[datetime, float]] = {}
        findings = []
        for each in suspicions:
            key = (each.kind, each.subject, each.progress)
            first, began = seen[key] = self._seen.get(key, (now, elapsed))
            if elapsed - began >= each.patience.total_seconds():
                findings.append(
                    Finding(
                        kind=each.kind,
                        subject=each.subject,
                        since=each.since or first,
                        message=each.message,
                        fix=each.fix,
                    )
                )
        self._seen = seen
        return _bounded(findings)


def longest_run(rules: RetryRules) -> timedelta:
    """How long a run may take from its hand-out to its end, if nothing but its own policy delays it."""
    total, wait = rules.timeout * rules.max_attempts, rules.initial_interval
    for _ in range(rules.max_attempts - 1):
        total += min(wait, rules.max_interval)
        wait = rules.max_interval if wait >= rules.max_interval else wait * rules.multiplier
    return total


def differences(before: Iterable[Finding], after: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """The findings that are new, and those that are gone."""
    old, new = {finding.key: finding for finding in before}, {finding.key: finding for finding in after}
    return (
        [finding for key, finding in new.items() if key not in old],
        [finding for key, finding in old.items() if key not in new],
    )


def _bounded(findings: list[Finding]) -> list[Finding]:
    findings.sort(key=lambda finding: (finding.since, finding.kind, finding.subject))
    counts = dict.fromkeys(Kind, 0)
    kept = []
    for finding in findings:
        counts[finding.kind] += 1
        if counts[finding.kind] <= MOST_OF_A_KIND:
            kept.append(finding)
    return kept[:MOST_FINDINGS]
