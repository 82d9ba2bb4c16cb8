"""What the demo saw, and whether it is what should have been."""

import json
from collections import Counter
from collections.abc import Sequence
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
    """The figures at the end. Lateness in milliseconds, of first attempts of scheduled runs, at the receiver.

    `unrecorded` counts runs that came in and that history does not hold as a success, and runs without an end.
    """

    calls: int
    expected: int
    missed: tuple[str, ...]
    doubled: int
    unrecorded: int
    wrong_bodies: int
    statuses: dict[str, int]
    retried: int
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float

    @property
    def is_good(self) -> bool:
        """Whether everything ran that should have, once, and nothing failed."""
        faults = (*self.missed, self.doubled, self.unrecorded, self.wrong_bodies)
        return self.expected > 0 and set(self.statuses) == {"SUCCESS"} and not any(faults)


def summarize(windows: Sequence[Window], evidence: Evidence) -> Summary:
    """Compares what came in with what the schedules say."""
    accepted = [call for call in evidence.calls if call["status_code"] == OK]
    delivered = Counter(_run_of(call) for call in accepted)
    ran = {call["execution_id"] for call in accepted}
    expected = [(window.job.id, due) for window in windows for due in window.job.occurrences(window.start, window.end)]
    missed = [f"{job} at {due.isoformat()}" for job, due in expected if not delivered[job, _micros(due)]]
    missed += [f"by-hand run {execution}" for execution in evidence.by_hand if execution not in ran]
    final = {name: item for name, item in evidence.executions.items() if item.get("status") in FINAL}
    held = {name for name, item in final.items() if item["status"] == "SUCCESS"}
    late = _lateness(evidence)
    return Summary(
        calls=len(evidence.calls),
        expected=len(expected) + len(evidence.by_hand),
        missed=tuple(missed),
        doubled=sum(count - 1 for count in delivered.values()),
        unrecorded=len(evidence.executions) - len(final) + len(ran - held),
        wrong_bodies=sum(not _body_is_right(call) for call in accepted),
        statuses=dict(Counter(str(item["status"]) for item in final.values())),
        retried=sum(int(item.get("attempt_count", 0)) > 1 for item in final.values()),
        late_p50_ms=_percentile(late, 0.50),
        late_p99_ms=_percentile(late, 0.99),
        late_max_ms=_percentile(late, 1.0),
    )


def is_complete(windows: Sequence[Window], evidence: Evidence) -> bool:
    """Whether nothing more is to be waited for."""
    summary = summarize(windows, evidence)
    return not summary.missed and not summary.unrecorded


def _lateness(evidence: Evidence) -> list[float]:
    first_attempts = (call for call in evidence.calls if call["attempt"] == 1)
    scheduled = (call["late_seconds"] for call in first_attempts if call["execution_id"] not in evidence.by_hand)
    return sorted(seconds * 1000 for seconds in scheduled if seconds is not None)


def _body_is_right(call: dict[str, Any]) -> bool:
    """Whether the variables of a body, where there is one, were filled in for the very run that brought it."""
    if not call["body"]:
        return True
    try:
        body = json.loads(call["body"])
        return (body["job"], body["execution"]) == (call["job_id"], call["execution_id"])
    except (ValueError, KeyError, TypeError):
        return False


def _run_of(call: dict[str, Any]) -> tuple[str, int]:
    return call["job_id"], _micros(datetime.fromisoformat(call["scheduled_time"])) if call["scheduled_time"] else 0


def _micros(when: datetime) -> int:
    return round(when.timestamp() * 1_000_000)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1))] if ordered else 0.0
