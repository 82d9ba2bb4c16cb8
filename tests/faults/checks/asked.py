"""What was promised to somebody: triggers that were acknowledged, and runs that follow others."""

from collections import defaultdict
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


def check_followers(scene: Scene) -> Iterator[Violation]:
    """MISSED, for jobs that run after one other job: each success of that one leads to a run or a reason."""
    followed = {parent for run in scene.runs.values() if run.record is not None for parent in run.record.parent_ids}
    children: dict[str, list[JobEvidence]] = defaultdict(list)
    for job in scene.jobs:
        parents = {rules.depends_on for rules in job.rules.ever}
        if len(parents) == 1 and len(only := next(iter(parents))) == 1:
            children[only[0]].append(job)
    for parent in scene.jobs:
        for child in children.get(parent.job, []):
            for run in parent.runs:
                if run.execution_id not in followed and _must_be_followed(run, child, scene):
                    yield Violation(
                        kind=ViolationKind.MISSED,
                        job=child.job,
                        execution_id="",
                        at_us=run.ended_us,
                        sentence=f"{run.execution_id} of {parent.job} succeeded, and no run followed",
                    )


def _must_be_followed(run: Run, child: JobEvidence, scene: Scene) -> bool:
    record = run.record
    if record is None or record.status != "SUCCESS" or record.cause == "REPLAY" or record.completed_us is None:
        return False
    if record.completed_us >= scene.history.judged_until_us - scene.limits.epsilon_us:
        return False
    calm_us = scene.faults.calm_after(record.completed_us, record.completed_us + scene.limits.epsilon_us)
    states = child.rules.states(run.scheduled_us, calm_us)
    return all(state is not None and state.is_enabled and state.depends_on for state in states)


def _is_settled(job: JobEvidence, run: Run, scene: Scene) -> bool:
    is_open = run.record is not None and run.record.status not in FINAL  # judged as NEVER_ENDED
    return run.is_delivered or is_open or bool(explanation(job, [run], run.scheduled_us, scene))


def _moment(call: Call) -> int:
    return call.sent_us if call.answered_us is None else call.answered_us
