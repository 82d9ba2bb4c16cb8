"""Runs that their targets accept end as these tell, or at their deadline."""

from collections.abc import Iterator

from tests.faults.checks.evidence import ACCEPTED, FINAL, JobEvidence, Run, Scene
from tests.faults.checks.found import Found, at_run
from tests.faults.history import Outcome, Record
from tests.faults.verdict import Violation, ViolationKind, seconds


def check_completions(job: JobEvidence, scene: Scene) -> Iterator[Violation]:
    """COMPLETION_LOST, WRONG_RESULT, EARLY and LATE, over runs that have ended; others are NEVER_ENDED."""
    if not any(rules.completion_us for rules in job.rules.ever):
        return
    for run in job.runs:
        if run.record is None or run.record.status not in FINAL:
            continue
        found = _lost(run, run.record, scene) or _untold(run, run.record, scene) or _deadline(job, run, scene)
        if found is not None:
            yield at_run(job, run, found)


def _lost(run: Run, record: Record, scene: Scene) -> Found | None:
    """What a target was told to be taken is what the ledger has, unless somebody cancelled the run."""
    told = next((call.status for call in run.completions if call.outcome is Outcome.ACKNOWLEDGED), record.status)
    if record.status == told or (record.status == "CANCELLED" and run.execution_id in scene.is_cancelled):
        return None
    return ViolationKind.COMPLETION_LOST, f"its target completed it as {told}; the ledger says {record.status}"


def _untold(run: Run, record: Record, scene: Scene) -> Found | None:
    """An accepted run succeeds or fails only by the word of its target, or by another request that had no answer."""
    last = run.arrivals[-1] if run.arrivals else None
    if last is None or last.status != ACCEPTED or record.status not in ("SUCCESS", "FAILED"):
        return None
    if run.is_completed(record.status):
        return None
    is_answer_lost = scene.faults.is_near(last.began_us, run.ended_us) or last.is_early_close
    if record.status == "FAILED" and is_answer_lost:
        return None
    return ViolationKind.WRONG_RESULT, f"its target accepted it; the ledger says {record.status}, and nobody told so"


def _deadline(job: JobEvidence, run: Run, scene: Scene) -> Found | None:
    record = run.record
    if record is None or record.status != "TIMED_OUT" or record.reason_code != "ACCEPTED":
        return None
    accepted = [each.ended_us for each in run.arrivals if each.status == ACCEPTED and each.ended_us is not None]
    if not accepted:
        return ViolationKind.WRONG_RESULT, "the ledger says that it was not completed in time, and nobody accepted it"
    ended_us = record.completed_us or 0
    spans = [rules.completion_us for rules in job.rules.ever if rules.completion_us]
    earliest_us = min(accepted) + min(spans) - scene.faults.clock_behind(min(accepted), ended_us)
    if ended_us < earliest_us - scene.limits.clock_error_us:
        return ViolationKind.EARLY, f"timed out {seconds(earliest_us - ended_us)} before its deadline"
    usual_us = max(accepted) + max(spans) + scene.limits.epsilon_us
    calm_us = scene.faults.calm_after(max(accepted), usual_us)
    if ended_us > max(usual_us, calm_us + max(spans)) + scene.limits.epsilon_us + scene.limits.clock_error_us:
        return ViolationKind.LATE, f"timed out {seconds(ended_us - usual_us)} after its deadline"
    return None
