"""Every target is delivered in time, or the ledger says why not."""

from collections.abc import Iterator

from tests.faults.checks.evidence import FINAL, JobEvidence, Run, Scene
from tests.faults.checks.tally import Tally
from tests.faults.checks.turns import latest_allowed
from tests.faults.verdict import Violation, ViolationKind, seconds


def check_targets(job: JobEvidence, scene: Scene, tally: Tally) -> Iterator[Violation]:
    """MISSED and LATE, over all targets that must have happened."""
    for moment_us in job.due.must:
        runs = job.by_time.get(moment_us, [])
        tried = [run for run in runs if run.arrivals]
        if tried:
            run = min(tried, key=lambda run: run.arrivals[0].began_us)
            lateness_us = max(0, run.arrivals[0].began_us - moment_us)
            tally.lateness.append((moment_us, lateness_us))
            yield from check_lateness(job, run, moment_us, scene)
        if any(run.is_delivered for run in runs):
            tally.delivered += 1
        elif reason := explanation(job, runs, moment_us, scene):
            tally.explained += 1
            tally.reasons[reason] += 1
        elif not any(run.record is not None and run.record.status not in FINAL for run in runs):
            yield Violation(
                kind=ViolationKind.MISSED,
                job=job.job,
                execution_id=runs[0].execution_id if runs else "",
                at_us=moment_us,
                sentence=_missed(runs),
            )


def check_lateness(job: JobEvidence, run: Run, moment_us: int, scene: Scene) -> Iterator[Violation]:
    """LATE, for a run that was due at `moment_us` and was tried."""
    came_us = run.arrivals[0].began_us
    if came_us - moment_us <= scene.limits.epsilon_us:
        return
    allowed_us = latest_allowed(job, run, moment_us, scene)
    if came_us > allowed_us:
        yield Violation(
            kind=ViolationKind.LATE,
            job=job.job,
            execution_id=run.execution_id,
            at_us=moment_us,
            sentence=f"late by {seconds(came_us - moment_us)}; faults and other runs of the job excuse "
            f"{seconds(allowed_us - moment_us)}",
        )


def explanation(job: JobEvidence, runs: list[Run], moment_us: int, scene: Scene) -> str:
    """Why a target was not delivered, as the ledger has it, true or not. Empty: no word."""
    for run in runs:
        if run.record is not None and run.record.status in FINAL and run.record.status != "SUCCESS":
            code = run.record.reason_code
            return run.record.status if code == "REASON_UNSPECIFIED" else code
    for stretch in job.covering(moment_us):
        return stretch.record.reason_code
    if not scene.history.has_ledger and any(run.arrivals for run in runs):
        return "tried, and no ledger to say more"
    return ""


def _missed(runs: list[Run]) -> str:
    if not runs:
        return "no request came, and the ledger says nothing"
    if runs[0].arrivals:
        return f"{len(runs[0].arrivals)} requests came and none was answered well; the ledger gives no reason"
    return "no request came, though the ledger has the run as done"
