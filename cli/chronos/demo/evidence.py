"""What the demo saw, and whether it is what should have been."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cli.chronos.demo.jobs import DemoJob

OK = 200
FINAL = frozenset({"SUCCESS", "FAILED", "SKIPPED", "TIMED_OUT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time in which a job had to run: it was created at `start`, and certainly enabled until `end`."""

    job: DemoJob
    start: datetime
    end: datetime


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What came in at the receiver, what history says about it, and what was asked for by hand."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_hand: list[str] = field(default_factory=list)

    @property
    def last_call(self) -> int:
        """Number of the newest call; 0 before the first."""
        return int(self.calls[-1]["number"]) if self.calls else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures at the end. Lateness in milliseconds, of first attempts of scheduled runs, at the receiver."""

    calls: int
    expected: int
    missed: tuple[str, ...]
    doubled: int
    unexplained: int
    statuses: dict[str, int]
    retried: int
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float

    @property
    def is_good(self) -> bool:
        """Whether everything ran that should have, once, and nothing failed."""
        all_well = set(self.statuses) <= {"SUCCESS"}
        return self.expected > 0 and all_well and not self.missed and not self.doubled and not self.unexplained


def summarize(windows: Sequence[Window], evidence: Evidence) -> Summary:
    """Compares what came in with what the schedules say."""
    delivered = Counter(_run_of(call) for call in evidence.calls if call["status_code"] == OK)
    expected = {(window.job.id, _micros(due)): due for window in windows for due in _due(window)}
    missed = [f"{job} at {due.isoformat()}" for (job, _), due in expected.items() if not delivered[job, _micros(due)]]
    ran = {call["execution_id"] for call in evidence.calls if call["status_code"] == OK}
    missed += [f"by-hand run {execution}" for execution in evidence.by_hand if execution not in ran]
    first_attempts = [
        call for call in evidence.calls if call["attempt"] == 1 and call["execution_id"] not in evidence.by_hand
    ]
    late = sorted(call["late_seconds"] * 1000 for call in first_attempts if call["late_seconds"] is not None)
    final = [execution for execution in evidence.executions.values() if execution.get("status") in FINAL]
    return Summary(
        calls=len(evidence.calls),
        expected=len(expected) + len(evidence.by_hand),
        missed=tuple(missed),
        doubled=sum(count - 1 for count in delivered.values()),
        unexplained=len(evidence.executions) - len(final),
        statuses=dict(Counter(str(execution["status"]) for execution in final)),
        retried=sum(int(execution.get("attempt_count", 0)) > 1 for execution in final),
        late_p50_ms=_percentile(late, 0.50),
        late_p99_ms=_percentile(late, 0.99),
        late_max_ms=_percentile(late, 1.0),
    )


def is_complete(windows: Sequence[Window], evidence: Evidence) -> bool:
    """Whether nothing more is to be waited for."""
    summary = summarize(windows, evidence)
    return not summary.missed and not summary.unexplained


def _due(window: Window) -> Iterable[datetime]:
    return window.job.occurrences(window.start, window.end)


def _run_of(call: dict[str, Any]) -> tuple[str, int]:
    return call["job_id"], _micros(datetime.fromisoformat(call["scheduled_time"])) if call["scheduled_time"] else 0


def _micros(when: datetime) -> int:
    return round(when.timestamp() * 1_000_000)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1))] if ordered else 0.0
