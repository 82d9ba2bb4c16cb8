"""Whether the reasons are true that the ledger gives for runs that were not delivered."""

from collections.abc import Iterator

from tests.faults.checks.evidence import FINAL, JobEvidence, Run, Scene, Stretch
from tests.faults.checks.freezes import why_not_refused
from tests.faults.checks.rules_in_force import EVER_US
from tests.faults.history import Concurrency, Guarantee, JobRules, MissedPolicy, Record
from tests.faults.verdict import Violation, ViolationKind, seconds


def check_reasons(job: JobEvidence, scene: Scene) -> Iterator[Violation]:
    """UNEXPLAINED, over every record of a run that was due in the judged time and has no success."""
    for run in job.runs:
        record = run.record
        if record is None or record.status not in FINAL or record.status == "SUCCESS":
            continue
        if record.scheduled_us >= scene.history.judged_until_us:
            continue
        if untrue := _untrue(job, run, record, scene):
            yield Violation(
                kind=ViolationKind.UNEXPLAINED,
                job=job.job,
                execution_id=run.execution_id,
                at_us=run.scheduled_us,
                sentence=f"the ledger says {record.status}, {record.reason_code}, but {untrue}",
            )


def _untrue(job: JobEvidence, run: Run, record: Record, scene: Scene) -> str:
    """Why the reason is not true; empty when it is."""
    if record.reason_code in scene.limits.trusted_reasons:
        return ""
    match record.reason_code:
        case "OVERLAP":
            return _overlap(job, run, scene)
        case "QUEUE_FULL":
            return _queue_full(job, run, scene)
        case "REPLACED":
            return _replaced(job, run)
        case "MISSED":
            return _missed(job, run, record, scene)
        case "PAUSED":
            return _paused(job, run, record, scene)
        case "DELETED":
            return (
                "" if None in job.rules.states(run.scheduled_us, _decided(run)) else "nobody may have deleted the job"
            )
        case "CANCELLED_BY_USER":
            return "" if run.execution_id in scene.is_cancelled else "nobody may have cancelled it"
        case "DEPENDENCY_FAILED":
            return _dependency_failed(record, scene)
        case "BREAKER_OPEN":
            return _breaker_open(run, scene)
        case "POLICY":
            return why_not_refused(_rules(job, run), run, _decided(run), scene)
        case "ACCEPTED" if record.status == "TIMED_OUT":
            return ""  # judged in completions.py
        case "INTERRUPTED" | "REASON_UNSPECIFIED" if record.status == "LOST":
            return _lost(job, run, scene)
        case "REASON_UNSPECIFIED" if record.status in ("FAILED", "TIMED_OUT"):
            return _failed(run, scene)
        case _:
            return "nothing in this history can be the cause"


def _decided(run: Run) -> int:
    """When the ledger heard of it."""
    completed_us = run.record.completed_us if run.record is not None else None
    return run.scheduled_us if completed_us is None else max(completed_us, run.scheduled_us)


def _rules(job: JobEvidence, run: Run) -> list[JobRules]:
    return job.rules.rules(run.scheduled_us, _decided(run))


def _overlap(job: JobEvidence, run: Run, scene: Scene) -> str:
    if not any(rules.concurrency is Concurrency.FORBID for rules in _rules(job, run)):
        return "its concurrency was not FORBID"
    since_us = scene.faults.trouble_before(run.scheduled_us) - scene.limits.epsilon_us
    until_us = _decided(run) + scene.limits.epsilon_us
    if job.was_under_way(since_us, until_us):
        return ""
    asked_about = (other for other in job.runs if other.record is not None and other.record.reason_code == "POLICY")
    was_waiting = any(other.scheduled_us <= until_us and _decided(other) >= since_us for other in asked_about)
    return "" if was_waiting else "no other run of the job was under way"


def _queue_full(job: JobEvidence, run: Run, scene: Scene) -> str:
    most = min(
        (rules.max_queued_runs for rules in _rules(job, run) if rules.concurrency is Concurrency.QUEUE), default=0
    )
    if not most:
        return "its concurrency was not QUEUE"
    since_us, until_us = run.scheduled_us - scene.limits.epsilon_us, _decided(run) + scene.limits.epsilon_us
    others = sum(1 for other in job.by_begin if other.scheduled_us <= until_us and other.ended_us >= since_us)
    waiting = [other for other in job.runs if _waited(other)]
    others += sum(1 for other in waiting if other.scheduled_us <= until_us and _decided(other) >= since_us)
    return "" if others >= most else f"{others} other runs were under way or waiting, and {most} may wait"


def _waited(run: Run) -> bool:
    """Whether it may have waited for its turn, and did not get it."""
    return not run.arrivals and run.record is not None and run.record.reason_code != "QUEUE_FULL"


def _replaced(job: JobEvidence, run: Run) -> str:
    if not any(rules.concurrency is Concurrency.REPLACE for rules in _rules(job, run)):
        return "its concurrency was not REPLACE"
    newer = any(other is not run and other.scheduled_us >= run.scheduled_us for other in job.runs)
    return "" if newer else "no newer run came"


def _missed(job: JobEvidence, run: Run, record: Record, scene: Scene) -> str:
    rules = _rules(job, run)
    if not rules:
        return "there was no such job"
    last_us = record.skipped_until_us or run.scheduled_us
    grace_us = min(each.grace_us for each in rules)
    calm_us = scene.faults.calm_after(last_us, last_us + scene.limits.epsilon_us)
    if calm_us - last_us < grace_us - scene.limits.clock_error_us:
        return f"its time was followed by {seconds(calm_us - last_us)} of faults, and {seconds(grace_us)} are grace"
    late_us = (record.completed_us or calm_us) - grace_us + scene.limits.clock_error_us
    later = job.due.up_to(last_us, late_us)
    return "" if any(_leaves_out(each, last_us, late_us, later) for each in rules) else "its policy makes up for it"


def _leaves_out(rules: JobRules, last_us: int, late_us: int, later: int) -> bool:
    """Whether the policy leaves a run out that `later` missed ones follow."""
    if last_us < late_us + rules.grace_us - rules.catch_up_window_us:
        return True
    match rules.missed:
        case MissedPolicy.IGNORE:
            return True
        case MissedPolicy.EXECUTE_ONE:
            return later >= 1
        case MissedPolicy.EXECUTE_ALL:
            return later >= rules.catch_up_max_runs


def _paused(job: JobEvidence, run: Run, record: Record, scene: Scene) -> str:
    if record.skipped_until_us is None:
        states = job.rules.states(run.scheduled_us, _decided(run))
        return (
            "" if any(state is not None and not state.is_enabled for state in states) else "nobody may have paused it"
        )
    stretch = Stretch(run.scheduled_us, record.skipped_until_us, record)
    for segment in job.rules.allowed:
        if segment.begin_us <= stretch.last_us and segment.end_us > stretch.first_us and not segment.may_be_paused:
            begin_us, end_us = max(segment.begin_us, stretch.first_us), min(segment.end_us, stretch.last_us + 1)
            if number := job.due.between(begin_us, end_us):
                return f"{number} of these runs were due while the job was enabled"
    return ""


def _dependency_failed(record: Record, scene: Scene) -> str:
    parents = [scene.runs[parent] for parent in record.parent_ids if parent in scene.runs]
    failed = not record.parent_ids or any(run.record is not None and run.record.status != "SUCCESS" for run in parents)
    return "" if failed else "every run that it follows succeeded"


def _breaker_open(run: Run, scene: Scene) -> str:
    is_true = scene.may_be_held_back(run.scheduled_us, _decided(run))
    is_true = is_true or scene.faults.is_near(run.scheduled_us - scene.limits.breaker_us, _decided(run))
    return "" if is_true else "too few requests had failed to open it"


def _lost(job: JobEvidence, run: Run, scene: Scene) -> str:
    if not any(rules.guarantee is Guarantee.AT_MOST_ONCE for rules in _rules(job, run)):
        return "its guarantee was not AT_MOST_ONCE"
    near = scene.faults.is_near(run.scheduled_us, min(_decided(run), EVER_US) + scene.limits.epsilon_us)
    return "" if near else "no fault was near"


def _failed(run: Run, scene: Scene) -> str:
    if run.arrivals or scene.faults.is_near(run.scheduled_us, _decided(run)):
        return ""
    held_back = scene.may_be_held_back(run.scheduled_us, _decided(run))
    return "" if held_back else "no request came, and nothing was broken"
