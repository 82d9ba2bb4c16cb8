"""Runs of a job that must not overlap do not."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.checks.evidence import ACCEPTED, JobEvidence, Run, Scene, is_repeatable
from tests.faults.checks.tally import Tally
from tests.faults.history import Arrival, Concurrency
from tests.faults.verdict import Violation, ViolationKind, seconds

ALONE = frozenset({Concurrency.FORBID, Concurrency.QUEUE})
CAUSES = frozenset({"SCHEDULE", "MANUAL", "DEPENDENCY"})
"""Backfills may be told to overlap, and replays always may."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run was under way: from a request to the end of its last retry, or to what its target told of its end."""

    began_us: int
    ended_us: int
    run: Run


def check_overlaps(job: JobEvidence, scene: Scene, tally: Tally) -> Iterator[Violation]:
    """OVERLAP: two runs of a FORBID or QUEUE job under way at the receiver at once.

    What a fault makes unavoidable is counted only: a run that its owner had to give up may still be under way.
    """
    if not any(rules.concurrency in ALONE for rules in job.rules.ever):
        return
    latest: Span | None = None
    spans = [span for run in job.runs if run.cause in CAUSES for span in _spans(run, scene)]
    for span in sorted(spans, key=lambda span: span.began_us):
        if latest is not None and latest.run is not span.run and latest.ended_us > span.began_us:
            if scene.faults.is_near(latest.began_us, span.began_us):
                tally.overlaps_inside += 1
            elif _is_alone(job, latest) and _is_alone(job, span):
                yield _violation(job, span, latest)
        if latest is None or span.ended_us >= latest.ended_us:
            latest = span


def _spans(run: Run, scene: Scene) -> Iterator[Span]:
    """The times in which a run was under way. A raw duplicate begins another one."""
    if not run.arrivals:
        return
    first = last = run.arrivals[0]
    for arrival in run.arrivals[1:]:
        if not (is_repeatable(last) and arrival.attempt > last.attempt):
            yield Span(first.began_us, _end(run, last, scene), run)
            first = arrival
        last = arrival
    yield Span(first.began_us, _end(run, last, scene), run)


def _end(run: Run, arrival: Arrival, scene: Scene) -> int:
    """When a request was over. One that Chronos gave up is not judged: the receiver cannot tell when that was."""
    if arrival.ended_us is None or arrival.is_early_close:
        return arrival.began_us
    is_cancelled = run.record is not None and run.record.status == "CANCELLED"
    if arrival.status != ACCEPTED and not is_cancelled:
        return arrival.ended_us
    ends = [call.sent_us for call in run.completions]  # also before its own answer
    if run.record is not None and run.record.completed_us is not None:
        ends.append(run.record.completed_us - scene.limits.clock_error_us)
    return max(arrival.began_us, min(ends, default=arrival.ended_us))


def _is_alone(job: JobEvidence, span: Span) -> bool:
    rules = job.rules.rules(span.run.scheduled_us, span.began_us)
    return bool(rules) and all(each.concurrency in ALONE for each in rules)


def _violation(job: JobEvidence, span: Span, other: Span) -> Violation:
    return Violation(
        kind=ViolationKind.OVERLAP,
        job=job.job,
        execution_id=span.run.execution_id,
        at_us=span.began_us,
        sentence=f"began while {other.run.execution_id} was under way for "
        f"{seconds(other.ended_us - span.began_us)} more",
    )
