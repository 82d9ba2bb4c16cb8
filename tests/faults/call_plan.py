"""The calls of the workload, in order: a pure function of the seed."""

from dataclasses import dataclass, replace
from random import Random

from tests.faults.history import CallKind, JobRules
from tests.faults.job_plan import OTHER_SCHEDULES, PlannedJob, one_job, plan_jobs

CREATE_EVERY_S = 0.05
CALM_S = 4.0
"""Time between two changes of one job, so that each of them counts for some runs."""
PAUSE_BETWEEN_S = (0.6, 2.4)
WEIGHTS = {
    CallKind.TRIGGER: 8,
    CallKind.UPDATE: 5,
    CallKind.PAUSE: 4,
    CallKind.RESUME: 6,
    CallKind.CREATE: 2,
    CallKind.DELETE: 2,
    CallKind.CANCEL: 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """One call. `job.rules` are those after it. CANCEL stops the run that the job's last TRIGGER made."""

    at_s: float
    kind: CallKind
    job: PlannedJob


@dataclass(slots=True)
class _Live:
    job: PlannedJob
    changed_at_s: float


def plan_calls(seed: int, duration_s: float, job_count: int) -> tuple[PlannedCall, ...]:
    """Creates all jobs, then changes them, until the time is over."""
    random = Random(f"calls {seed}")
    calls: list[PlannedCall] = []
    live: dict[str, _Live] = {}
    for number, job in enumerate(plan_jobs(random, job_count)):
        at_s = number * CREATE_EVERY_S
        live[job.job_id] = _Live(job, at_s)
        calls.append(PlannedCall(at_s=at_s, kind=CallKind.CREATE, job=job))
    now, number = job_count * CREATE_EVERY_S + CALM_S, job_count
    while (now := now + random.uniform(*PAUSE_BETWEEN_S)) < duration_s:
        kind = random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind is CallKind.CREATE:
            job = one_job(number, random.randrange(1000))
            number += 1
        elif (found := _victim(random, kind, live, now)) is not None:
            job = replace(found, rules=_after(random, kind, found.rules))
        else:
            continue
        calls.append(PlannedCall(at_s=round(now, 2), kind=kind, job=job))
        if kind is CallKind.DELETE:
            del live[job.job_id]
        elif kind not in (CallKind.TRIGGER, CallKind.CANCEL):
            live[job.job_id] = _Live(job, now)
    return tuple(calls)


def _victim(random: Random, kind: CallKind, live: dict[str, _Live], now: float) -> PlannedJob | None:
    fitting = [each.job for each in live.values() if now - each.changed_at_s >= CALM_S and _fits(kind, each.job)]
    return random.choice(fitting) if fitting else None


def _fits(kind: CallKind, job: PlannedJob) -> bool:
    is_by_hand = job.rules.schedule == "@manual"
    match kind:
        case CallKind.TRIGGER | CallKind.CANCEL:
            return is_by_hand and job.rules.is_enabled
        case CallKind.UPDATE:
            return not is_by_hand and not job.rules.depends_on and "slow" not in job.path
        case CallKind.PAUSE:
            return job.rules.is_enabled and not is_by_hand
        case CallKind.RESUME:
            return not job.rules.is_enabled
        case _:
            return not job.is_parent


def _after(random: Random, kind: CallKind, rules: JobRules) -> JobRules:
    match kind:
        case CallKind.UPDATE:
            others = [schedule for schedule in OTHER_SCHEDULES if schedule != rules.schedule]
            return replace(rules, schedule=random.choice(others))
        case CallKind.PAUSE | CallKind.RESUME:
            return replace(rules, is_enabled=kind is CallKind.RESUME)
        case _:
            return rules
