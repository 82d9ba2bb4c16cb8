"""How late a run may come: faults delay it, and so do other runs of the job that must end first.

A run whose first request is a later attempt was tried before: nobody was there, or a circuit breaker was open. Then the
retry policy says when it comes.
"""

from bisect import bisect_left

from tests.faults.checks.evidence import JobEvidence, Run, Scene, first_arrival
from tests.faults.history import Concurrency, MissedPolicy


def latest_allowed(job: JobEvidence, run: Run, moment_us: int, scene: Scene) -> int:
    """The latest moment at which the first request of a run may come that is due at `moment_us`."""
    epsilon_us = scene.limits.epsilon_us
    came_us = first_arrival(run)
    if run.arrivals[0].attempt > 1 and _was_tried(moment_us, came_us, scene):
        return scene.faults.calm_after(moment_us, moment_us + epsilon_us) + scene.limits.breaker_us
    gap_us = _gap(job, moment_us, came_us, scene)
    allowed_us = moment_us + epsilon_us
    others = job.by_arrival
    place = bisect_left(others, moment_us - job.longest_us, key=first_arrival) if gap_us else len(others)
    while allowed_us < came_us:
        calm_us = scene.faults.calm_after(moment_us, allowed_us)
        later_us = max(allowed_us, calm_us + epsilon_us)
        while place < len(others) and first_arrival(others[place]) <= later_us:
            other, place = others[place], place + 1
            if other is not run and first_arrival(other) < came_us and other.ended_us >= moment_us:
                later_us = max(later_us, min(other.ended_us, came_us) + gap_us)
        if later_us == allowed_us:
            break
        allowed_us = later_us
    return allowed_us


def _was_tried(moment_us: int, came_us: int, scene: Scene) -> bool:
    """Whether earlier attempts may have been made that the receiver did not see."""
    return scene.may_be_held_back(moment_us, came_us) or scene.faults.is_near(moment_us, came_us)


def _gap(job: JobEvidence, moment_us: int, came_us: int, scene: Scene) -> int:
    """How long after the end of another run it may come; 0 when it need not wait for others."""
    rules = job.rules.rules(moment_us, came_us)
    outage_us = scene.faults.calm_after(moment_us, moment_us) - scene.faults.trouble_before(moment_us)
    catches_up = [
        each.catch_up_interval_us
        for each in rules
        if each.missed is MissedPolicy.EXECUTE_ALL and outage_us > each.grace_us
    ]
    if catches_up:
        return scene.limits.epsilon_us + max(catches_up)
    waits = any(each.concurrency is not Concurrency.ALLOW for each in rules)
    return scene.limits.epsilon_us if waits else 0
