"""Runs that a policy forbids in some seconds of each minute do not begin then; those that it refused were due then."""

from collections.abc import Iterator

from tests.faults.checks.evidence import JobEvidence, Run, Scene
from tests.faults.checks.found import at_run
from tests.faults.history import SECOND_US, JobRules
from tests.faults.verdict import Violation, ViolationKind

MINUTE_US = 60 * SECOND_US


def check_freezes(job: JobEvidence, scene: Scene) -> Iterator[Violation]:
    """FORBIDDEN. A run is judged as it is about to begin; what a fault holds up after that may come later."""
    frozen = [rules for rules in job.rules.ever if rules.frozen_s]
    for run in job.by_arrival if frozen else ():
        first_us = run.arrivals[0].began_us
        early_us, late_us = scene.limits.epsilon_us, scene.limits.clock_error_us
        is_frozen = all(
            _is_inside(rules, first_us - early_us) and _is_inside(rules, first_us + late_us) for rules in frozen
        )
        if is_frozen and not scene.faults.is_near(run.scheduled_us, first_us):
            yield at_run(job, run, (ViolationKind.FORBIDDEN, "it began in seconds in which a policy forbids it"))


def why_not_refused(rules: list[JobRules], run: Run, decided_us: int, scene: Scene) -> str:
    """Why policies cannot have refused a run; empty when they can have, or nobody could ask them."""
    frozen = [each for each in rules if each.frozen_s]
    if not frozen:
        return "no policy applies to the job"
    moments_us = (decided_us - scene.limits.epsilon_us, decided_us, decided_us + scene.limits.clock_error_us)
    if any(_is_inside(each, moment_us) for each in frozen for moment_us in moments_us):
        return ""
    is_near = scene.faults.is_near(run.scheduled_us, decided_us)
    return "" if is_near else "the policy allows runs at that time, and nothing was broken"


def _is_inside(rules: JobRules, moment_us: int) -> bool:
    begin_s, end_s = rules.frozen_s
    return begin_s * SECOND_US <= moment_us % MINUTE_US < end_s * SECOND_US
