"""What history counts."""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from operator import attrgetter

from prometheus_client import Counter, Gauge, Histogram

from services.history.domain.dead_letters import DEAD
from services.history.domain.decisions import Outcome
from services.history.domain.records import Record, Refused, Status

_RECORDS = Counter("chronos_history_record", "Records that became durable, by the status that they told.", ["status"])
_BY_STATUS = {int(status): _RECORDS.labels(status.name.lower()) for status in Status}
STALE = Counter("chronos_history_stale", "Records refused because another scheduler owns their shard.")
CLAIMED = Counter("chronos_history_claimed", "Claims refused because somebody else has begun the execution.")
_DEAD_LETTERS = Counter("chronos_history_dead_letter", "Executions that became dead letters, by status.", ["status"])
_DEAD_BY_STATUS = {int(status): _DEAD_LETTERS.labels(status.name.lower()) for status in sorted(DEAD)}
_OPEN_LETTERS = Gauge("chronos_history_dead_letters_open", "Dead letters that are open, by status.", ["status"])
_OPEN_BY_STATUS = {int(status): _OPEN_LETTERS.labels(status.name.lower()) for status in sorted(DEAD)}
EXPIRED_LETTERS = Counter(
    "chronos_history_dead_letter_expired", "Dead letters deleted because of their age or their number."
)
_DECISIONS = Counter("chronos_history_policy_decision", "Decisions of policies accounted for, by outcome.", ["outcome"])
_DECISIONS_BY_OUTCOME = {int(outcome): _DECISIONS.labels(outcome.name.lower()) for outcome in Outcome}
EXPIRED_DECISIONS = Counter(
    "chronos_history_policy_decision_expired", "Decisions of policies deleted because of their age."
)
PENDING = Gauge("chronos_history_records_pending", "Records that wait for the disk.")
LEDGER_BYTES = Gauge("chronos_history_ledger_bytes", "Size of the ledger's file.")
IS_WRITABLE = Gauge("chronos_history_ledger_is_writable", "1 while the ledger takes writes.")
EXPIRED = Counter("chronos_history_expired", "Executions deleted because of their age.")
SWEPT = Counter("chronos_history_swept", "Definitions deleted because no execution refers to them any more.")
WATCHERS = Gauge("chronos_history_watchers", "Watches that are up to date and wait for changes.")
_COMMIT_SECONDS = Histogram(
    "chronos_history_commit_seconds",
    "Time that a transaction took, with the wait for the disk.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_COMMIT_RECORDS = Histogram(
    "chronos_history_commit_records",
    "Records in one transaction.",
    buckets=(1, 5, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000),
)
_status_of = attrgetter("status")


def count_durable(records: Sequence[Record], refused: Refused) -> None:
    """Counts a batch that is durable, but for what was refused of it."""
    for status, count in Tally(map(_status_of, records)).items():
        _BY_STATUS[status].inc(count)
    if refused.stale:
        STALE.inc(len(refused.stale))
    if refused.claimed:
        CLAIMED.inc(len(refused.claimed))


def count_decisions(outcomes: Mapping[int, int]) -> None:
    """Counts decisions that are new in the account, by their outcome."""
    for outcome, count in outcomes.items():
        _DECISIONS_BY_OUTCOME[outcome].inc(count)


def show_open_letters(counts: Mapping[int, int]) -> None:
    """Shows how many dead letters of each status are open."""
    for status, gauge in _OPEN_BY_STATUS.items():
        gauge.set(counts.get(status, 0))


class CommitMetrics:
    """Observes commits; from any thread."""

    def committed(self, records: int, seconds: float) -> None:
        """See adapters.observer.CommitObserver."""
        _COMMIT_RECORDS.observe(records)
        _COMMIT_SECONDS.observe(seconds)

    def died(self, statuses: Sequence[int]) -> None:
        """See adapters.observer.CommitObserver."""
        for status, count in Tally(statuses).items():
            _DEAD_BY_STATUS[status].inc(count)
