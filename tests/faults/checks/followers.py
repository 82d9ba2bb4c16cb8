"""Jobs that run after others: each end that they wait for leads to a run, and none comes before it."""

from collections import defaultdict
from collections.abc import Iterator

from tests.faults.checks.evidence import ACCEPTED, JobEvidence, Run, Scene, is_repeatable
from tests.faults.history import Guarantee
from tests.faults.verdict import Violation, ViolationKind


def check_followers(scene: Scene) -> Iterator[Violation]:
    """MISSED and EARLY, for jobs that run after others."""
    yield from _missing(scene)
    yield from _hasty(scene)


def _missing(scene: Scene) -> Iterator[Violation]:
    """Each success of a job that another one follows, and only that one, leads to a run or a reason."""
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


def _hasty(scene: Scene) -> Iterator[Violation]:
    """No run begins before all have ended that it follows, as the receiver saw them."""
    jobs = {job.job: job for job in scene.jobs}
    for job in scene.jobs:
        for run in job.runs:
            parents = run.record.parent_ids if run.record is not None else ()
            for parent in (scene.runs[each] for each in parents if each in scene.runs):
                if run.arrivals and _is_open(parent, run.arrivals[0].began_us, jobs, scene):
                    yield Violation(
                        kind=ViolationKind.EARLY,
                        job=job.job,
                        execution_id=run.execution_id,
                        at_us=run.arrivals[0].began_us,
                        sentence=f"came before {parent.execution_id} had ended, which it follows",
                    )


def _is_open(run: Run, moment_us: int, jobs: dict[str, JobEvidence], scene: Scene) -> bool:
    """Whether a run cannot have ended by then. One that may have been given up, as cancelled or lost, can."""
    if run.record is None or run.record.status in ("CANCELLED", "LOST"):
        return False
    ends = [call.sent_us for call in run.completions]
    last = max((arrival.attempt for arrival in run.arrivals), default=0)
    for arrival in run.arrivals:
        is_final = arrival.attempt == last or not is_repeatable(arrival)
        if is_final and arrival.status != ACCEPTED and arrival.ended_us is not None:
            ends.append(arrival.began_us if arrival.is_early_close else arrival.ended_us)
    if moment_us >= min(ends, default=0):
        return False
    rules = jobs[run.record.job].rules.rules(run.scheduled_us, moment_us)
    may_be_lost = any(each.guarantee is Guarantee.AT_MOST_ONCE for each in rules)
    return not (may_be_lost and scene.faults.is_near(run.scheduled_us, moment_us))
