"""What was promised to somebody: triggers that were acknowledged."""

from collections.abc import Iterator

from tests.faults.checks.deliveries import check_lateness, explanation
from tests.faults.checks.evidence import FINAL, JobEvidence, Run, Scene
from tests.faults.history import Call, Outcome
from tests.faults.verdict import Violation, ViolationKind


def check_triggers(job: JobEvidence, scene: Scene) -> Iterator[Violation]:
    """TRIGGER_LOST, and LATE for triggers."""
    for call in job.triggers:
        if call.outcome is not Outcome.ACKNOWLEDGED or _moment(call) >= scene.history.judged_until_us:
            continue
        run = scene.runs.get(call.execution_id)
        if run is not None and run.arrivals:
            yield from check_lateness(job, run, _moment(call), scene)
        if run is None or not _is_settled(job, run, scene):
            yield Violation(
                kind=ViolationKind.TRIGGER_LOST,
                job=job.job,
                execution_id=call.execution_id,
                at_us=_moment(call),
                sentence="the call was acknowledged; its run was neither delivered nor explained",
            )


def _is_settled(job: JobEvidence, run: Run, scene: Scene) -> bool:
    is_open = run.record is not None and run.record.status not in FINAL  # judged as NEVER_ENDED
    return run.is_delivered or is_open or bool(explanation(job, [run], run.scheduled_us, scene))


def _moment(call: Call) -> int:
    return call.sent_us if call.answered_us is None else call.answered_us
