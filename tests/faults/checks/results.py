"""What the ledger says of a run's end is what the receiver saw."""

from collections.abc import Iterator

from tests.faults.checks.evidence import FINAL, JobEvidence, Run, Scene, is_repeatable, is_success
from tests.faults.checks.found import Found, at_run
from tests.faults.history import Guarantee, Record
from tests.faults.verdict import Violation, ViolationKind


def check_results(job: JobEvidence, scene: Scene) -> Iterator[Violation]:
    """RETRIES, NEVER_ENDED, WRONG_RESULT and UNRECORDED, over runs that were due in the judged time."""
    for run in job.runs:
        if run.scheduled_us >= scene.history.judged_until_us:
            continue
        if run.record is None:
            found = _unrecorded(run, scene)
        elif run.record.status not in FINAL:
            found = (ViolationKind.NEVER_ENDED, f"it is still {run.record.status}")
        else:
            found = _wrong(run, run.record, scene) or _too_few(job, run, run.record, scene)
        if found is not None:
            yield at_run(job, run, found)


def _unrecorded(run: Run, scene: Scene) -> Found | None:
    if not scene.history.has_ledger or run.arrivals[0].began_us >= scene.history.judged_until_us:
        return None
    return ViolationKind.UNRECORDED, f"{len(run.arrivals)} requests came, and the ledger has no such execution"


def _wrong(run: Run, record: Record, scene: Scene) -> Found | None:
    if record.status == "SUCCESS" and not run.is_delivered:
        answers = ", ".join(str(arrival.status) for arrival in run.arrivals) or "none"
        return ViolationKind.WRONG_RESULT, f"the ledger says SUCCESS; answers of the receiver: {answers}"
    if record.status == "SKIPPED" and run.arrivals:
        return ViolationKind.WRONG_RESULT, f"the ledger says SKIPPED, and {len(run.arrivals)} requests came"
    if record.status in ("FAILED", "TIMED_OUT") and run.arrivals:
        last = run.arrivals[-1]
        if (
            is_success(last)
            and not run.is_accepted
            and not last.is_early_close
            and not scene.faults.is_near(last.began_us, run.ended_us)
        ):
            return ViolationKind.WRONG_RESULT, f"the ledger says {record.status}; the last answer was {last.status}"
    return None


def _too_few(job: JobEvidence, run: Run, record: Record, scene: Scene) -> Found | None:
    if record.status not in ("FAILED", "TIMED_OUT") or record.reason_code == "DELETED":
        return None
    if run.is_accepted or run.is_completed(record.status):
        return None  # judged in completions.py
    begin_us, end_us = run.scheduled_us, run.ended_us
    rules = job.rules.rules(begin_us, end_us)
    if not rules or any(each.guarantee is Guarantee.AT_MOST_ONCE for each in rules):
        return None
    last = run.arrivals[-1] if run.arrivals else None
    if last is not None and not is_repeatable(last) and not is_success(last):
        return None
    promised = min(each.max_attempts for each in rules)
    if record.attempts < promised:
        return ViolationKind.RETRIES, f"given up after {record.attempts} of {promised} attempts"
    seen = len({arrival.attempt for arrival in run.arrivals})
    if seen < promised and not scene.may_be_held_back(begin_us, end_us) and not scene.faults.is_near(begin_us, end_us):
        return ViolationKind.RETRIES, f"{seen} of {promised} attempts reached the receiver, and nothing held them back"
    return None
