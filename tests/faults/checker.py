"""Decides whether the promises were kept: from calls and the receiver's log; the ledger is asked for reasons alone."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from tests.faults.checks.asked import check_triggers
from tests.faults.checks.completions import check_completions
from tests.faults.checks.deliveries import check_targets
from tests.faults.checks.duplicates import check_duplicates, check_ledger
from tests.faults.checks.evidence import JobEvidence, Scene
from tests.faults.checks.followers import check_followers
from tests.faults.checks.freezes import check_freezes
from tests.faults.checks.overlaps import check_overlaps
from tests.faults.checks.reasons import check_reasons
from tests.faults.checks.results import check_results
from tests.faults.checks.tally import Tally
from tests.faults.checks.wanted import check_early, check_wanted
from tests.faults.history import History, Limits, Phase
from tests.faults.verdict import Counts, Lateness, Verdict, Violation, histogram

BETWEEN = "between phases"


def check(history: History, limits: Limits | None = None) -> Verdict:
    """Judges a history. Pure: the same history gives the same verdict.

    Raises ValueError for a schedule that the oracle cannot read.
    """
    scene = Scene(history, limits or Limits())
    tally = Tally()
    violations = [violation for job in scene.jobs for violation in _of_job(job, scene, tally)]
    violations += check_ledger(history.records)
    violations += check_followers(scene)
    violations.sort(key=lambda violation: (violation.at_us, violation.kind, violation.job, violation.execution_id))
    return Verdict(
        violations=tuple(violations),
        counts=_counts(scene, tally),
        lateness=_lateness(history.phases, tally),
    )


def _of_job(job: JobEvidence, scene: Scene, tally: Tally) -> Iterator[Violation]:
    yield from check_targets(job, scene, tally)
    yield from check_reasons(job, scene)
    yield from check_triggers(job, scene)
    yield from check_duplicates(job, scene, tally)
    yield from check_early(job, scene)
    yield from check_wanted(job, scene)
    yield from check_overlaps(job, scene, tally)
    yield from check_freezes(job, scene)
    yield from check_results(job, scene)
    yield from check_completions(job, scene)


def _counts(scene: Scene, tally: Tally) -> Counts:
    return Counts(
        jobs=len(scene.jobs),
        calls=len(scene.history.calls),
        arrivals=len(scene.history.arrivals),
        executions=len(scene.runs),
        targets=sum(len(job.due.must) for job in scene.jobs),
        optional_targets=sum(len(job.due.may) for job in scene.jobs),
        delivered=tally.delivered,
        explained=tally.explained,
        triggers=sum(len(job.triggers) for job in scene.jobs),
        duplicates_inside_faults=tally.duplicates_inside,
        duplicates_outside_faults=tally.duplicates_outside,
        overlaps_inside_faults=tally.overlaps_inside,
        reasons=tuple(sorted(tally.reasons.items())),
    )


def _lateness(phases: tuple[Phase, ...], tally: Tally) -> tuple[Lateness, ...]:
    """A histogram for each name of a phase, in order of time; targets belong to the phase that they are due in."""
    ordered = sorted(phases, key=lambda phase: phase.began_us)
    begins = [phase.began_us for phase in ordered]
    found: dict[str, list[int]] = defaultdict(list)
    for phase in ordered:
        found[phase.name] = []
    for moment_us, lateness_us in tally.lateness:
        place = bisect_right(begins, moment_us) - 1
        inside = place >= 0 and moment_us < ordered[place].ended_us
        found[ordered[place].name if inside else BETWEEN].append(lateness_us)
    return tuple(histogram(name, values) for name, values in found.items())
