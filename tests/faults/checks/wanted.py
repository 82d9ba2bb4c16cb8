"""No run comes early, and none that nobody asks for."""

from collections.abc import Iterator

from tests.faults.checks.evidence import SCHEDULED, JobEvidence, Run, Scene
from tests.faults.history import CallKind, Outcome
from tests.faults.targets import due_times
from tests.faults.verdict import Violation, ViolationKind, seconds

AFTER = {
    CallKind.PAUSE: ViolationKind.AFTER_PAUSE,
    CallKind.DELETE: ViolationKind.AFTER_DELETE,
    CallKind.UPDATE: ViolationKind.AFTER_UPDATE,
}
SENTENCES = {
    ViolationKind.AFTER_PAUSE: "due after an acknowledged pause",
    ViolationKind.AFTER_DELETE: "due after an acknowledged delete",
    ViolationKind.AFTER_UPDATE: "due by a schedule that an acknowledged update had replaced",
    ViolationKind.NO_TARGET: "no version of the job that may have been in force asks for this run",
}


def check_early(job: JobEvidence, scene: Scene) -> Iterator[Violation]:
    """EARLY."""
    for run in job.runs:
        for arrival in run.arrivals[:1]:
            if arrival.began_us < run.scheduled_us - scene.limits.clock_error_us:
                yield Violation(
                    kind=ViolationKind.EARLY,
                    job=job.job,
                    execution_id=run.execution_id,
                    at_us=arrival.began_us,
                    sentence=f"came {seconds(run.scheduled_us - arrival.began_us)} before its time",
                )


def check_wanted(job: JobEvidence, scene: Scene) -> Iterator[Violation]:
    """AFTER_PAUSE, AFTER_DELETE, AFTER_UPDATE and NO_TARGET."""
    for run in job.runs:
        if not _is_wanted(job, run, scene):
            kind = _kind(job, run)
            yield Violation(
                kind=kind,
                job=job.job,
                execution_id=run.execution_id,
                at_us=run.scheduled_us,
                sentence=SENTENCES[kind],
            )


def _is_wanted(job: JobEvidence, run: Run, scene: Scene) -> bool:
    match run.cause:
        case "SCHEDULE" if run.is_skipped and not run.arrivals:
            return job.due.is_allowed(run.scheduled_us) or job.due.is_known(run.scheduled_us)
        case "SCHEDULE":
            return job.due.is_allowed(run.scheduled_us) or (run.record is None and _may_be_asked_for(job, run, scene))
        case "MANUAL":
            return _may_be_asked_for(job, run, scene)
        case "DEPENDENCY":
            return any(rules.depends_on for rules in job.rules.ever)
        case "BACKFILL":
            return job.due.is_known(run.scheduled_us)
        case _:
            return True


def _may_be_asked_for(job: JobEvidence, run: Run, scene: Scene) -> bool:
    """Whether a call asked for this run: one that names it, or one without an answer that was sent before."""
    latest_us = run.scheduled_us + scene.limits.clock_error_us
    return any(
        call.execution_id == run.execution_id
        or (call.outcome is Outcome.UNKNOWN and not call.execution_id and call.sent_us <= latest_us)
        for call in job.triggers
    )


def _kind(job: JobEvidence, run: Run) -> ViolationKind:
    if run.cause != SCHEDULED:
        return ViolationKind.NO_TARGET
    steps = job.rules.steps
    for number in range(len(steps) - 1, 0, -1):
        step = steps[number]
        kind = AFTER.get(step.call.kind)
        if kind is None or step.ends_us > run.scheduled_us:
            continue
        for state in steps[number - 1].states:
            if state is not None and state.is_enabled and due_times(state, run.scheduled_us, run.scheduled_us + 1):
                return kind
    return ViolationKind.NO_TARGET
