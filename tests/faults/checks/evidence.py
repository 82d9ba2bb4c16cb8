"""What belongs together: the calls, runs and records of each job."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

from tests.faults.checks.due import Due
from tests.faults.checks.fault_times import FaultTimes
from tests.faults.checks.rules_in_force import EVER_US, RulesInForce
from tests.faults.history import Arrival, Call, CallKind, History, Limits, Outcome, Record
from tests.faults.targets import interval_us

FINAL = frozenset({"SUCCESS", "FAILED", "SKIPPED", "TIMED_OUT", "CANCELLED", "LOST"})
SCHEDULED = "SCHEDULE"
FAILING = frozenset({408, 425, 429})
ACCEPTED = 202
"""How receivers answer that the run ends later. They answer so only for jobs with a `completion`."""
BREAKER_FAILURES = 5
"""So many failures in a row open a circuit breaker; then attempts fail without a request."""


@dataclass(slots=True)
class Run:
    """One execution: what the receiver and the ledger know of it. `arrivals` are in order.

    `completions` are the calls of its target that were or may have been heard.
    """

    execution_id: str
    scheduled_us: int
    cause: str
    arrivals: list[Arrival] = field(default_factory=list)
    record: Record | None = None
    completions: list[Call] = field(default_factory=list)

    @property
    def is_skipped(self) -> bool:
        """Whether the ledger says that it did not run."""
        return self.record is not None and self.record.status == "SKIPPED"

    @property
    def is_delivered(self) -> bool:
        """Whether a request of it was answered well, or its target told that it ended well."""
        return any(map(is_success, self.arrivals)) or self.is_completed("SUCCESS")

    @property
    def is_accepted(self) -> bool:
        """Whether its target took it on, to tell later how it went."""
        return any(arrival.status == ACCEPTED for arrival in self.arrivals)

    def is_completed(self, status: str) -> bool:
        """Whether its target may have told that it ended so."""
        return any(call.status == status for call in self.completions)

    @property
    def ended_us(self) -> int:
        """When the last of it was seen: its last answer, or the end in the ledger. A far future when it is open."""
        if self.record is not None and self.record.status not in FINAL:
            return EVER_US
        ended = [arrival.began_us if arrival.ended_us is None else arrival.ended_us for arrival in self.arrivals]
        if self.record is not None and self.record.completed_us is not None:
            ended.append(self.record.completed_us)
        if self.completions:  # the ledger has that by a clock that may be wrong
            ended.append(min(call.sent_us for call in self.completions))
        return max(ended, default=self.scheduled_us)


def is_success(arrival: Arrival) -> bool:
    """Whether the receiver answered well."""
    return 200 <= arrival.status < 300


def is_repeatable(arrival: Arrival) -> bool:
    """Whether another attempt may follow, as docs/runs.md says: no answer, 5xx, 408, 425, 429."""
    return arrival.is_early_close or arrival.status == 0 or arrival.status >= 500 or arrival.status in FAILING


@dataclass(slots=True)
class Stretch:
    """A record that stands for several runs which were skipped."""

    first_us: int
    last_us: int
    record: Record


class JobEvidence:
    """All that is known of one job."""

    def __init__(self, job: str, calls: list[Call], runs: list[Run], scene: "Scene") -> None:
        self.job = job
        self.calls = calls
        self.runs = runs
        self.rules = RulesInForce(_anchored(calls, runs), scene.limits, scene.faults)
        self.due = Due(self.rules, scene.history.began_us, scene.history.judged_until_us)
        self.by_time: dict[int, list[Run]] = defaultdict(list)
        for run in runs:
            if run.cause == SCHEDULED:
                self.by_time[run.scheduled_us].append(run)

    @cached_property
    def stretches(self) -> list[Stretch]:
        """Records of skipped stretches."""
        return [
            Stretch(run.scheduled_us, run.record.skipped_until_us, run.record)
            for run in self.runs
            if run.record is not None and run.record.skipped_until_us is not None
        ]

    @cached_property
    def by_begin(self) -> list[Run]:
        """Runs that were not skipped, by the moment from which on they were under way."""
        return sorted((run for run in self.runs if not run.is_skipped), key=began_us)

    @cached_property
    def triggers(self) -> list[Call]:
        """Calls that asked for a run and may have been heard."""
        return [call for call in self.calls if call.kind is CallKind.TRIGGER and call.outcome is not Outcome.REFUSED]

    @cached_property
    def by_arrival(self) -> list[Run]:
        """Runs that were delivered or tried, by their first request."""
        return sorted((run for run in self.runs if run.arrivals), key=first_arrival)

    @cached_property
    def longest_us(self) -> int:
        """From the first request of a run to its end, at most."""
        return max((min(run.ended_us, EVER_US) - run.arrivals[0].began_us for run in self.by_arrival), default=0)

    def was_under_way(self, begin_us: int, end_us: int) -> bool:
        """Whether a run that was not skipped was under way between two moments."""
        place = bisect_right(self._begins, end_us)
        return place > 0 and self._latest_ends[place - 1] >= begin_us

    @cached_property
    def _begins(self) -> list[int]:
        return [began_us(run) for run in self.by_begin]

    @cached_property
    def _latest_ends(self) -> list[int]:
        return list(accumulate((run.ended_us for run in self.by_begin), max))

    def covering(self, moment_us: int) -> list[Stretch]:
        """Skipped stretches that a moment lies in."""
        return [stretch for stretch in self.stretches if stretch.first_us <= moment_us <= stretch.last_us]


def began_us(run: Run) -> int:
    """From when on it was under way, as its scheduler saw it: a request can come later."""
    if run.cause in (SCHEDULED, "MANUAL", "DEPENDENCY") or not run.arrivals:
        return run.scheduled_us
    return run.arrivals[0].began_us


def first_arrival(run: Run) -> int:
    """When its first request came; it has one."""
    return run.arrivals[0].began_us


class Scene:
    """A history, sorted out by jobs."""

    def __init__(self, history: History, limits: Limits) -> None:
        self.history = history
        self.limits = limits
        self.faults = FaultTimes(history.faults, limits)
        calls: dict[str, list[Call]] = defaultdict(list)
        for call in sorted(history.calls, key=lambda call: call.sent_us):
            calls[call.job].append(call)
        self.runs = _runs(history, limits)
        runs: dict[str, list[Run]] = defaultdict(list)
        job_of = {arrival.execution_id: arrival.job for arrival in history.arrivals}
        job_of |= {record.execution_id: record.job for record in history.records}
        for run in self.runs.values():
            runs[job_of[run.execution_id]].append(run)
        self.jobs = [JobEvidence(job, calls[job], runs[job], self) for job in sorted({*calls, *runs})]

    @cached_property
    def failures(self) -> list[int]:
        """When requests failed in a way that opens circuit breakers; rising."""
        return sorted(arrival.began_us for arrival in self.history.arrivals if is_repeatable(arrival))

    def may_be_held_back(self, begin_us: int, end_us: int) -> bool:
        """Whether a circuit breaker may have been open: enough requests had failed."""
        since_us = begin_us - self.limits.breaker_us
        return bisect_right(self.failures, end_us) - bisect_right(self.failures, since_us - 1) >= BREAKER_FAILURES

    @cached_property
    def is_cancelled(self) -> set[str]:
        """Executions that somebody may have cancelled."""
        return {
            call.execution_id
            for call in self.history.calls
            if call.kind is CallKind.CANCEL and call.outcome is not Outcome.REFUSED
        }


def _runs(history: History, limits: Limits) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    asked_for = {call.execution_id for call in history.calls if call.kind is CallKind.TRIGGER and call.execution_id}
    for record in history.records:
        runs[record.execution_id] = Run(record.execution_id, record.scheduled_us, record.cause, [], record)
    for arrival in sorted(history.arrivals, key=lambda arrival: arrival.began_us):
        run = runs.get(arrival.execution_id)
        if run is None:
            cause = "MANUAL" if arrival.execution_id in asked_for else SCHEDULED
            run = runs[arrival.execution_id] = Run(arrival.execution_id, arrival.scheduled_us, cause)
        run.arrivals.append(arrival)
    for call in history.calls:
        if call.kind is CallKind.COMPLETE and call.outcome is not Outcome.REFUSED and call.execution_id in runs:
            runs[call.execution_id].completions.append(call)
    return runs


def _anchored(calls: Sequence[Call], runs: Sequence[Run]) -> list[Call]:
    """The calls, with the job's creation where no answer told it: `@every` shows it in the times of the first runs."""
    first = min((run.scheduled_us for run in runs if run.cause == SCHEDULED), default=0)
    return [
        replace(call, rules=replace(call.rules, created_us=_creation(call, first)))
        if call.rules is not None
        and call.kind is CallKind.CREATE
        and call.rules.created_us == 0
        and interval_us(call.rules)
        else call
        for call in calls
    ]


def _creation(call: Call, first_us: int) -> int:
    """A moment with which the first run fits; the answer's, failing that."""
    assert call.rules is not None
    return first_us - interval_us(call.rules) if first_us else call.answered_us or call.sent_us
